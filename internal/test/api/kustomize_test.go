// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"maps"
	"os"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// built is the output of a kustomization: objects by kind and name.
type built map[string]*unstructured.Unstructured

// build builds the kustomization in a directory.
func build(t *testing.T, dir string) built {
	t.Helper()
	return buildIn(t, filesys.MakeFsOnDisk(), dir)
}

// buildFile builds a kustomization with one file.
func buildFile(t *testing.T, file string) built {
	t.Helper()
	g := NewWithT(t)
	content, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	fs := filesys.MakeFsInMemory()
	g.Expect(errors.Join(fs.WriteFile("/objects.yaml", content), fs.WriteFile("/kustomization.yaml", []byte("resources: [objects.yaml]")))).To(Succeed())
	return buildIn(t, fs, "/")
}

func buildIn(t *testing.T, fs filesys.FileSystem, dir string) built {
	t.Helper()
	g := NewWithT(t)
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, dir)
	g.Expect(err).NotTo(HaveOccurred())
	objects := built{}
	for _, resource := range resources.Resources() {
		obj := &unstructured.Unstructured{}
		content, err := resource.MarshalJSON()
		if err == nil {
			err = obj.UnmarshalJSON(content)
		}
		g.Expect(err).NotTo(HaveOccurred())
		objects[obj.GetKind()+"/"+obj.GetName()] = obj
	}
	return objects
}

// names returns the sorted kinds and names of the objects.
func (b built) names() []string { return slices.Sorted(maps.Keys(b)) }

// into converts an object, which must exist, to a typed one.
func (b built) into(t *testing.T, name string, obj any) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(b[name]).NotTo(BeNil(), "there is no %s among %v", name, b.names())
	g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(b[name].Object, obj, true)).To(Succeed())
}

// TestFluxOverlay_ChangesOnlyImageAndCRDs checks that config/flux changes only the image and the
// CRDs of the controller in a Flux installation.
func TestFluxOverlay_ChangesOnlyImageAndCRDs(t *testing.T) {
	g := NewWithT(t)
	const deploymentName, image = "Deployment/image-reflector-controller", "registry.example.com/image-reflector-controller:v1.0.0"
	before, after := buildFile(t, "testdata/flux/gotk-components.yaml"), build(t, "testdata/flux")
	g.Expect(after.names()).To(BeComparableTo(before.names()), "names of the objects (-before +after)")
	definitions := build(t, "../../../config/crd")
	for _, name := range after.names() {
		want := before[name]
		if definitions[name] != nil {
			want = definitions[name]
		}
		if name == deploymentName {
			var deployment appsv1.Deployment
			before.into(t, name, &deployment)
			deployment.Spec.Template.Spec.Containers[0].Image = image
			want = toUnstructured(t, &deployment)
			after.into(t, name, &deployment)
			after[name] = toUnstructured(t, &deployment)
		}
		g.Expect(after[name].Object).To(BeComparableTo(want.Object), "%s", name)
	}
	g.Expect(definitions).To(HaveLen(2), "config/crd has %v", definitions.names())
}

func toUnstructured(t *testing.T, obj any) *unstructured.Unstructured {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return &unstructured.Unstructured{Object: fields}
}
