// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"
)

func TestReadObjects(t *testing.T) {
	cases := map[string]struct {
		reason, in string
		want       []string
		problem    string
	}{
		"stream": {reason: "documents are separated by ---", want: []string{"namespace/a", "configmap/b"},
			in: "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n"},
		"comments": {reason: "a document may be empty", want: []string{"deployment.apps/a"},
			in: "# a comment\n---\n# another\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n"},
		"nothing":  {reason: "an empty stream has no objects"},
		"no YAML":  {reason: "a broken pipe shows something else", in: "a: b: c\n", problem: "document 1 of the input"},
		"nameless": {reason: "it could be applied nowhere", in: "apiVersion: v1\nkind: Namespace\n", problem: "metadata.name is missing"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			objects, err := readObjects(strings.NewReader(tc.in))
			if got := titles(objects); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v: %s", got, tc.want, tc.reason)
			}
			if (err != nil) != (tc.problem != "") || err != nil && !strings.Contains(err.Error(), tc.problem) {
				t.Errorf("got the error %v, want %q: %s", err, tc.problem, tc.reason)
			}
		})
	}
}

func TestSplit(t *testing.T) {
	objects, err := readObjects(strings.NewReader(`
apiVersion: v1
kind: Secret
metadata: {name: a}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: b}
---
apiVersion: example.com/v1
kind: Namespace
metadata: {name: c}
---
apiVersion: v1
kind: Namespace
metadata: {name: d}
`))
	if err != nil {
		t.Fatal(err)
	}
	first, rest := split(objects)
	if got, want := titles(first), []string{"customresourcedefinition.apiextensions.k8s.io/b", "namespace/d"}; !slices.Equal(got, want) {
		t.Errorf("first are %v, want %v", got, want)
	}
	if got, want := titles(rest), []string{"secret/a", "namespace.example.com/c"}; !slices.Equal(got, want) {
		t.Errorf("the rest is %v, want %v", got, want)
	}
	if got, want := titles(without(rest, []string{"Secret"})), []string{"namespace.example.com/c"}; !slices.Equal(got, want) {
		t.Errorf("without Secrets they are %v, want %v", got, want)
	}
}

func titles(objects []object) []string {
	var all []string
	for _, obj := range objects {
		all = append(all, title(obj))
	}
	return all
}
