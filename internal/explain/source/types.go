// SPDX-License-Identifier: Apache-2.0

package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// describeTypes rewrites an error about a value of the wrong type: it names the field of the
// object instead of that of the Go type, and what to write. It returns other errors as they are.
func describeTypes(err error, document []byte) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s must not be %s: write %s", fieldName(wrong.Field), jsonName(wrong.Value), typeName(wrong.Type))
	}
	if err == nil {
		return nil
	}
	if found := invalidDuration.FindStringSubmatch(err.Error()); found != nil {
		return fmt.Errorf("%s %s is not a duration: write one such as 5m or 1h30m", durationField(document, found[1]), found[1])
	}
	return err
}

// invalidDuration matches the errors of time.ParseDuration, which quote the value.
var invalidDuration = regexp.MustCompile(`^time: .*duration ("(?:[^"\\]|\\.)*")$`)

// fieldName returns the path of a field without the names of embedded Go types.
func fieldName(path string) string {
	parts := slices.DeleteFunc(strings.Split(path, "."), func(part string) bool { return part == "" || part[0] >= 'A' && part[0] <= 'Z' })
	if len(parts) == 0 {
		return "the object"
	}
	return strings.Join(parts, ".")
}

// jsonName returns the type of a JSON value, such as "number 5", in the words of YAML.
func jsonName(value string) string {
	kind, number, _ := strings.Cut(value, " ")
	switch kind {
	case "array":
		return "a list"
	case "object":
		return "a map"
	case "string":
		return "text"
	case "bool":
		return "true or false"
	}
	if number != "" {
		return "the number " + number
	}
	return "a number"
}

// typeName returns what to write for a Go type.
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a map"
	case reflect.String:
		return "text, in quotes if it looks like something else"
	case reflect.Bool:
		return "true or false"
	default:
		return "a whole number"
	}
}

// durationField returns the path of the only field of spec with a quoted value, or "the value".
func durationField(document []byte, quoted string) string {
	var object struct {
		Spec map[string]any `json:"spec"`
	}
	if yaml.Unmarshal(document, &object) != nil {
		return "the value"
	}
	paths := fieldsWith(object.Spec, "spec", quoted)
	if len(paths) != 1 {
		return "the value"
	}
	return paths[0]
}

// fieldsWith returns the paths of the texts below a map that are equal to a quoted value.
func fieldsWith(values map[string]any, path, quoted string) []string {
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch value := values[name].(type) {
		case map[string]any:
			paths = append(paths, fieldsWith(value, path+"."+name, quoted)...)
		case string:
			if fmt.Sprintf("%q", value) == quoted {
				paths = append(paths, path+"."+name)
			}
		}
	}
	return paths
}
