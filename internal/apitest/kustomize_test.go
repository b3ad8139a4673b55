// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"errors"
	"maps"
	"os"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// built is what a kustomization makes: objects by kind and name.
type built map[string]*unstructured.Unstructured

// build builds the kustomization in a folder.
func build(t *testing.T, folder string) built {
	t.Helper()
	return buildIn(t, filesys.MakeFsOnDisk(), folder)
}

// buildFile builds a kustomization of one file and nothing else.
func buildFile(t *testing.T, file string) built {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fs := filesys.MakeFsInMemory()
	err = errors.Join(fs.WriteFile("/objects.yaml", content), fs.WriteFile("/kustomization.yaml", []byte("resources: [objects.yaml]")))
	if err != nil {
		t.Fatal(err)
	}
	return buildIn(t, fs, "/")
}

func buildIn(t *testing.T, fs filesys.FileSystem, folder string) built {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, folder)
	if err != nil {
		t.Fatal(err)
	}
	objects := built{}
	for _, resource := range resources.Resources() {
		obj := &unstructured.Unstructured{}
		content, err := resource.MarshalJSON()
		if err == nil {
			err = obj.UnmarshalJSON(content)
		}
		if err != nil {
			t.Fatal(err)
		}
		objects[obj.GetKind()+"/"+obj.GetName()] = obj
	}
	return objects
}

// names returns the kinds and names of the objects in order.
func (b built) names() []string { return slices.Sorted(maps.Keys(b)) }

// into writes an object that must be there into a typed one.
func (b built) into(t *testing.T, name string, obj any) {
	t.Helper()
	if b[name] == nil {
		t.Fatalf("there is no %s among %v", name, b.names())
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(b[name].Object, obj, true); err != nil {
		t.Fatal(err)
	}
}
