// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestFluxOverlay puts the controller into an installation of Flux, and expects
// its image and its CRDs to be other ones, and nothing else.
func TestFluxOverlay(t *testing.T) {
	g := NewWithT(t)
	const ours, image = "Deployment/image-reflector-controller", "registry.example.com/image-reflector-controller:v1.0.0"
	before, after := buildFile(t, "testdata/flux/gotk-components.yaml"), build(t, "testdata/flux")
	g.Expect(after.names()).To(BeComparableTo(before.names()), "other objects (-before +after)")
	definitions := build(t, "../../config/crd")
	for _, name := range after.names() {
		want := before[name]
		if definitions[name] != nil {
			want = definitions[name]
		}
		if name == ours {
			var deployment appsv1.Deployment
			before.into(t, name, &deployment)
			deployment.Spec.Template.Spec.Containers[0].Image = image
			want = toUnstructured(t, &deployment)
			after.into(t, name, &deployment)
			after[name] = toUnstructured(t, &deployment)
		}
		g.Expect(after[name].Object).To(BeComparableTo(want.Object), "%s is not what it should be", name)
	}
	g.Expect(definitions).To(HaveLen(2), "config/crd has %v", definitions.names())
}

func toUnstructured(t *testing.T, obj any) *unstructured.Unstructured {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return &unstructured.Unstructured{Object: fields}
}
