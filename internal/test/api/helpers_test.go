// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// newObject returns an object of a kind and version with a spec in YAML.
func newObject(t *testing.T, version, kind, name, spec string) *unstructured.Unstructured {
	t.Helper()
	fields := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(spec), &fields); err != nil {
		t.Fatalf("the spec of the case is invalid YAML: %v\n%s", err, spec)
	}
	obj := &unstructured.Unstructured{Object: map[string]any{"spec": fields}}
	obj.SetAPIVersion(group + "/" + version)
	obj.SetKind(kind)
	obj.SetNamespace(namespace)
	obj.SetName(name)
	return obj
}

// create creates the object, and deletes it when the test ends.
func create(t *testing.T, obj *unstructured.Unstructured) {
	t.Helper()
	NewWithT(t).Expect(server.Create(t.Context(), obj)).To(Succeed())
	t.Cleanup(func() {
		if err := server.Delete(context.WithoutCancel(t.Context()), obj); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
}

// admission is a test case of the validation of a spec.
type admission struct {
	reason string
	spec   string
	// rejected are the required texts of the error; if empty, the object must be admitted.
	rejected []string
}

// testAdmission creates the object of each case in each version, in a dry run.
func testAdmission(t *testing.T, kind string, cases map[string]admission) {
	for _, version := range versions {
		for name, tc := range cases {
			t.Run(version+"/"+name, func(t *testing.T) {
				obj := newObject(t, version, kind, "admission", tc.spec)
				tc.check(t, server.Create(t.Context(), obj, client.DryRunAll))
			})
		}
	}
}

func (a admission) check(t *testing.T, err error) {
	t.Helper()
	if len(a.rejected) == 0 && err != nil {
		t.Errorf("rejected: %v\nwant it admitted: %s", err, a.reason)
	}
	if len(a.rejected) > 0 && err == nil {
		t.Errorf("admitted, want it rejected: %s", a.reason)
	}
	for _, text := range a.rejected {
		if err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("the error is\n\t%v\nand does not contain\n\t%s\n%s", err, text, a.reason)
		}
	}
	if tooLong := "must be at most 876000h"; err != nil && strings.Contains(err.Error(), tooLong) && !strings.Contains(strings.Join(a.rejected, " "), tooLong) {
		t.Errorf("the error is\n\t%v\nand reports an invalid duration as too long: %s", err, a.reason)
	}
}
