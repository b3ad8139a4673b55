// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// ReadTags reads a list of tags from a file: one per line, a JSON array, or a JSON object with a
// field "tags", such as the response of a registry.
func ReadTags(file string, stdin io.Reader) (explain.Listing, error) {
	content, err := readFile(file, stdin)
	if err != nil {
		return explain.Listing{}, Invalid(err)
	}
	names, err := parseTags(content)
	if err != nil {
		return explain.Listing{}, Invalidf("%s is not a list of tags: %w", file, err)
	}
	return newListing(explain.FromList, names), nil
}

func parseTags(content []byte) ([]string, error) {
	var tags []string
	switch text := bytes.TrimSpace(content); {
	case bytes.HasPrefix(text, []byte("[")):
		err := json.Unmarshal(text, &tags)
		return tags, err
	case bytes.HasPrefix(text, []byte("{")):
		var object struct{ Tags json.RawMessage }
		if err := json.Unmarshal(text, &object); err != nil {
			return nil, err
		}
		if object.Tags == nil { // such as an error response of a registry
			return nil, errors.New(`it is an object without the field "tags"`)
		}
		err := json.Unmarshal(object.Tags, &tags)
		return tags, err
	}
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" {
			tags = append(tags, line)
		}
	}
	return tags, nil
}

// newListing counts names that are not valid tags in place of listing them, as the registry client
// does.
func newListing(source explain.Source, names []string) explain.Listing {
	l := explain.Listing{Source: source}
	for _, name := range names {
		if registry.IsTag(name) {
			l.Tags = append(l.Tags, name)
		} else {
			l.Invalid++
		}
	}
	return l
}
