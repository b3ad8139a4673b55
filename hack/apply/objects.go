// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
)

type object = *unstructured.Unstructured

// readObjects reads all objects of a stream of YAML or JSON documents.
func readObjects(in io.Reader) ([]object, error) {
	var objects []object
	decoder := yaml.NewYAMLOrJSONDecoder(in, 4096)
	for n := 1; ; n++ {
		obj := &unstructured.Unstructured{}
		err := decoder.Decode(&obj.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d of the input: %w", n, err)
		}
		if len(obj.Object) == 0 {
			continue // nothing but a comment
		}
		if obj.GetAPIVersion() == "" || obj.GetKind() == "" || obj.GetName() == "" {
			return nil, fmt.Errorf("document %d of the input is no object: apiVersion, kind or metadata.name is missing", n)
		}
		objects = append(objects, obj)
	}
}

// without returns the objects that are of none of the kinds.
func without(objects []object, kinds []string) []object {
	return slices.DeleteFunc(slices.Clone(objects), func(obj object) bool {
		return slices.Contains(kinds, obj.GetKind())
	})
}

// split returns the objects that others can't exist without, and the rest.
func split(objects []object) ([]object, []object) {
	var first, rest []object
	for _, obj := range objects {
		if isNamespace(obj) || isDefinition(obj) {
			first = append(first, obj)
		} else {
			rest = append(rest, obj)
		}
	}
	return first, rest
}

func isNamespace(obj object) bool {
	return obj.GroupVersionKind().Group == "" && obj.GetKind() == "Namespace"
}

func isDefinition(obj object) bool {
	return obj.GroupVersionKind().Group == "apiextensions.k8s.io" && obj.GetKind() == "CustomResourceDefinition"
}

// isEstablished says whether the API server serves what a CRD defines.
func isEstablished(crd object) bool { return condition(crd, "Established")["status"] == "True" }

// definedKind returns the kind that a CRD defines.
func definedKind(crd object) schema.GroupKind {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	return schema.GroupKind{Group: group, Kind: kind}
}

// condition returns a condition of the status, or nothing.
func condition(obj object, conditionType string) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, each := range conditions {
		if c, ok := each.(map[string]any); ok && c["type"] == conditionType {
			return c
		}
	}
	return nil
}

// title names an object as kubectl does.
func title(obj object) string {
	kind := strings.ToLower(obj.GetKind())
	if group := obj.GroupVersionKind().Group; group != "" {
		kind += "." + group
	}
	return kind + "/" + obj.GetName()
}
