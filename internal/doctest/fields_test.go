// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestFields looks for every field of the API in the page of its kind.
func TestFields(t *testing.T) {
	for _, plural := range []string{"imagerepositories", "imagepolicies"} {
		t.Run(plural, func(t *testing.T) {
			dir := root(t)
			content, err := os.ReadFile(filepath.Join(dir, "docs/spec/v1", plural+".md"))
			if err != nil {
				t.Fatal(err)
			}
			for _, field := range fields(t, filepath.Join(dir, "config/crd/bases/image.toolkit.fluxcd.io_"+plural+".yaml")) {
				if !strings.Contains(string(content), "`"+field+"`") {
					t.Errorf("docs/spec/v1/%s.md does not describe `%s`", plural, field)
				}
			}
		})
	}
}

// fields returns the paths of the fields of spec and status in the storage
// version of a CRD.
func fields(t *testing.T, file string) []string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Storage bool
				Schema  struct{ OpenAPIV3Schema schema }
			}
		}
	}
	if err := yaml.Unmarshal(content, &crd); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, version := range crd.Spec.Versions {
		if version.Storage {
			properties := version.Schema.OpenAPIV3Schema.Properties
			paths = append(walk(".spec", properties["spec"]), walk(".status", properties["status"])...)
		}
	}
	if len(paths) == 0 {
		t.Fatalf("%s has no fields: has it changed its form?", file)
	}
	return paths
}

// schema is the part of a schema that names fields.
type schema struct {
	Properties map[string]schema
	Items      *schema
}

// walk returns the paths of the fields below a schema. Conditions are those of
// Kubernetes, which describes them, and an object of any keys has no fields.
func walk(path string, s schema) []string {
	if s.Items != nil {
		s = *s.Items
		path += "[]"
	}
	if len(s.Properties) == 0 || strings.HasSuffix(path, ".conditions[]") {
		return []string{strings.TrimSuffix(path, "[]")}
	}
	var paths []string
	for name, property := range s.Properties {
		paths = append(paths, walk(path+"."+name, property)...)
	}
	return paths
}
