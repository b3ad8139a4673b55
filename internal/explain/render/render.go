// SPDX-License-Identifier: Apache-2.0

// Package render prints explanations.
package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// The formats.
const (
	Table = "table"
	Wide  = "wide"
	JSON  = "json"
	YAML  = "yaml"
)

// Formats are all formats.
func Formats() []string { return []string{Table, Wide, JSON, YAML} }

// Write prints an explanation in one of the formats.
func Write(out io.Writer, r *explain.Result, format string, style terminal.Style) error {
	var text string
	var err error
	switch format {
	case JSON:
		text, err = asJSON(r)
	case YAML:
		text, err = asYAML(r)
	case Table, Wide:
		text = asTable(r, format == Wide, style)
	default:
		err = fmt.Errorf("there is no format %q", format)
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text)
	return err
}

func asJSON(r *explain.Result) (string, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false) // ranges are full of < and >
	encoder.SetIndent("", "  ")
	err := encoder.Encode(r)
	return terminal.CleanJSON(buffer.String()), err
}

// asYAML makes YAML of the JSON, in which all is escaped that YAML may not hold.
func asYAML(r *explain.Result) (string, error) {
	text, err := asJSON(r)
	if err != nil {
		return "", err
	}
	content, err := yaml.JSONToYAML([]byte(text))
	return terminal.CleanJSON(string(content)), err
}
