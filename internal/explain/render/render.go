// SPDX-License-Identifier: Apache-2.0

// Package render prints explanations.
package render

import (
	"bytes"
	"encoding/json"
	"io"

	"sigs.k8s.io/yaml"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// The output formats.
const (
	Table = "table"
	Wide  = "wide"
	JSON  = "json"
	YAML  = "yaml"
)

// Formats returns all output formats.
func Formats() []string { return []string{Table, Wide, JSON, YAML} }

// Write prints an explanation in one of the formats.
func Write(out io.Writer, r *explain.Result, format string, style terminal.Style) error {
	if format == Table || format == Wide {
		_, err := io.WriteString(out, asTable(r, format == Wide, style))
		return err
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false) // ranges are full of < and >
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(r); err != nil {
		return err
	}
	text := terminal.CleanJSON(buffer.String())
	if format == YAML { // converts the JSON, which escapes characters that YAML does not allow
		content, err := yaml.JSONToYAML([]byte(text))
		if err != nil {
			return err
		}
		text = terminal.CleanJSON(string(content))
	}
	_, err := io.WriteString(out, text)
	return err
}
