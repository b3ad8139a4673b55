// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// TestFields_AreDocumented checks that the page of each kind describes all its fields.
func TestFields_AreDocumented(t *testing.T) {
	for _, plural := range []string{"imagerepositories", "imagepolicies"} {
		path := "docs/spec/v1/" + plural + ".md"
		described := content(t, path)
		for _, field := range fields(t, content(t, "config/crd/bases/image.toolkit.fluxcd.io_"+plural+".yaml")) {
			NewWithT(t).Expect(described).To(ContainSubstring("`"+field+"`"), "%s does not describe `%s`", path, field)
		}
	}
}

// fields returns the paths of the fields of spec and status in the storage
// version of a CRD.
func fields(t *testing.T, manifest string) []string {
	t.Helper()
	g := NewWithT(t)
	var crd apiextensionsv1.CustomResourceDefinition
	g.Expect(yaml.UnmarshalStrict([]byte(manifest), &crd)).To(Succeed())
	var paths []string
	for _, version := range crd.Spec.Versions {
		if version.Storage {
			properties := version.Schema.OpenAPIV3Schema.Properties
			paths = append(fieldPaths(".spec", properties["spec"]), fieldPaths(".status", properties["status"])...)
		}
	}
	g.Expect(len(paths)).To(BeNumerically(">=", 2), "the CRD has only the fields %q", paths)
	return paths
}

// fieldPaths returns the paths of the fields of a schema. It omits the fields of conditions, which
// Kubernetes documents.
func fieldPaths(path string, s apiextensionsv1.JSONSchemaProps) []string {
	if s.Items != nil {
		s = *s.Items.Schema
		path += "[]"
	}
	if len(s.Properties) == 0 || strings.HasSuffix(path, ".conditions[]") {
		return []string{strings.TrimSuffix(path, "[]")}
	}
	var paths []string
	for name, property := range s.Properties {
		paths = append(paths, fieldPaths(path+"."+name, property)...)
	}
	return paths
}
