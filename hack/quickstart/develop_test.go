// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestDevelop_RestartsControllerOnSourceChanges makes three changes while everything runs: a valid
// one, one that does not compile, and one whose program does not start.
func TestDevelop_RestartsControllerOnSourceChanges(t *testing.T) {
	g := NewWithT(t)
	root, dir := copyOfRoot(t, "api", "config", "internal", "*.go", "go.mod", "go.sum"), t.TempDir()
	run := launchIn(t, root, dir, "-dev")
	run.awaitOutput(g, "kubectl get events")
	first := observe(t.Context(), g, dir)

	change(g, root, "config/crd/bases/image.toolkit.fluxcd.io_imagepolicies.yaml", "controller-gen.kubebuilder.io/version: ", "example.com/changed: ")
	change(g, root, "main.go", `"dev"`, `"changed"`)
	run.awaitOutput(g, "the new controller runs")
	second := observe(t.Context(), g, dir)
	g.Expect(second.ControllerPID).NotTo(Equal(first.ControllerPID))
	g.Expect(syscall.Kill(first.ControllerPID, 0)).To(MatchError(syscall.ESRCH), "the previous process has exited")
	g.Expect(os.ReadFile(second.ControllerLog)).To(MatchRegexp(`starting.*"version": "changed"`))
	g.Expect(second.cluster).To(Equal(first.cluster), "the control plane keeps running")
	g.Expect(second.changedCRD).To(BeTrue())

	change(g, root, "main.go", "var (", "var [")
	run.awaitOutput(g, "the change can't be built, and the previous controller keeps running")
	run.awaitOutput(g, "main.go:")
	g.Expect(observe(t.Context(), g, dir)).To(Equal(second))
	g.Expect(syscall.Kill(second.ControllerPID, 0)).To(Succeed(), "it keeps running")

	change(g, root, "main.go", "var [", "func init() { panic(\"no start\") }\n\nvar (")
	run.awaitOutput(g, "the new controller does not start, and the previous one is restarted")
	run.awaitOutput(g, "the controller runs again")
	third := observe(t.Context(), g, dir)
	g.Expect(third.ControllerPID).NotTo(Equal(second.ControllerPID))
	g.Expect(syscall.Kill(third.ControllerPID, 0)).To(Succeed(), "the previous controller runs")
	g.Expect(third.cluster).To(Equal(first.cluster))

	run.end(g, syscall.SIGINT)
	expectNothingLeft(g, dir)
}

// observation is the observed state of a run.
type observation struct {
	state

	// cluster is the UID of the namespace kube-system, which identifies the control plane.
	cluster    string
	changedCRD bool
}

func observe(ctx context.Context, g *WithT, dir string) observation {
	run, err := readState(filepath.Join(dir, "1"))
	g.Expect(err).NotTo(HaveOccurred())
	cluster, err := run.client()
	g.Expect(err).NotTo(HaveOccurred())
	metadata := func(kind schema.GroupVersionKind, name string) *metav1.PartialObjectMetadata {
		obj := &metav1.PartialObjectMetadata{}
		obj.SetGroupVersionKind(kind)
		g.Expect(cluster.Get(ctx, client.ObjectKey{Name: name}, obj)).To(Succeed())
		return obj
	}
	namespace := metadata(corev1.SchemeGroupVersion.WithKind("Namespace"), "kube-system")
	definition := metadata(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
		"imagepolicies.image.toolkit.fluxcd.io")
	return observation{state: run, cluster: string(namespace.UID), changedCRD: definition.Annotations["example.com/changed"] != ""}
}

// change replaces a text in a file of the sources.
func change(g *WithT, root, file, from, to string) {
	path := filepath.Join(root, file)
	content, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(content)).To(ContainSubstring(from))
	g.Expect(os.WriteFile(path, []byte(strings.Replace(string(content), from, to, 1)), 0o600)).To(Succeed())
}
