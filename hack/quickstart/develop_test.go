// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/session"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// TestDevelopment changes sources while everything runs: well, badly, and so
// that the program does not start.
func TestDevelopment(t *testing.T) {
	g := NewWithT(t)
	root, dir := sources(t), t.TempDir()
	run := launchIn(t, root, dir, "-dev")
	run.awaitOutput(g, "kubectl get events")
	first := look(t.Context(), g, dir)

	change(g, root, "config/crd/bases/image.toolkit.fluxcd.io_imagepolicies.yaml", "controller-gen.kubebuilder.io/version: ", "example.com/changed: ")
	change(g, root, "version.go", `"dev"`, `"changed"`)
	run.awaitOutput(g, "the new controller runs")
	second := look(t.Context(), g, dir)
	g.Expect(second.ControllerPID).NotTo(Equal(first.ControllerPID))
	g.Expect(syscall.Kill(first.ControllerPID, 0)).To(MatchError(syscall.ESRCH), "the one before has ended")
	g.Expect(os.ReadFile(second.ControllerLog)).To(MatchRegexp(`starting.*"version": "changed"`))
	g.Expect(second.cluster).To(Equal(first.cluster), "the control plane is the same")
	g.Expect(second.changedCRD).To(BeTrue())

	change(g, root, "version.go", "var (", "var [")
	run.awaitOutput(g, "the change can't be built, and the controller stays as it is")
	run.awaitOutput(g, "version.go:")
	g.Expect(look(t.Context(), g, dir)).To(Equal(second))
	g.Expect(syscall.Kill(second.ControllerPID, 0)).To(Succeed(), "it runs on")

	change(g, root, "version.go", "var [", "func init() { panic(\"no start\") }\n\nvar (")
	run.awaitOutput(g, "the new controller does not start, and the one before it comes back")
	run.awaitOutput(g, "the controller runs again")
	third := look(t.Context(), g, dir)
	g.Expect(third.ControllerPID).NotTo(Equal(second.ControllerPID))
	g.Expect(syscall.Kill(third.ControllerPID, 0)).To(Succeed(), "the one before runs")
	g.Expect(third.cluster).To(Equal(first.cluster))

	g.Expect(run.cmd.Process.Signal(syscall.SIGINT)).To(Succeed())
	output, err := run.wait()
	g.Expect(err).NotTo(HaveOccurred(), output)
	g.Expect(output).To(ContainSubstring("Everything is stopped"))
	expectNothingLeft(g, dir)
}

// seen is what a test looks at of a run.
type seen struct {
	session.State

	// cluster is the identity of the control plane.
	cluster    string
	changedCRD bool
}

func look(ctx context.Context, g *WithT, dir string) seen {
	state, err := session.ReadState(filepath.Join(dir, "1"))
	g.Expect(err).NotTo(HaveOccurred())
	config, err := clientcmd.BuildConfigFromFlags("", state.Kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	scheme := runtime.NewScheme()
	g.Expect(errors.Join(corev1.AddToScheme(scheme), apiextensionsv1.AddToScheme(scheme))).To(Succeed())
	cluster, err := client.New(config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	namespace, definition := &corev1.Namespace{}, &apiextensionsv1.CustomResourceDefinition{}
	g.Expect(cluster.Get(ctx, client.ObjectKey{Name: "kube-system"}, namespace)).To(Succeed())
	g.Expect(cluster.Get(ctx, client.ObjectKey{Name: "imagepolicies.image.toolkit.fluxcd.io"}, definition)).To(Succeed())
	return seen{State: state, cluster: string(namespace.UID), changedCRD: definition.Annotations["example.com/changed"] != ""}
}

// change replaces a text in a file of the sources.
func change(g *WithT, root, file, from, to string) {
	path := filepath.Join(root, file)
	content, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(content)).To(ContainSubstring(from))
	g.Expect(os.WriteFile(path, []byte(strings.Replace(string(content), from, to, 1)), 0o600)).To(Succeed())
}

// sources returns a copy of what a run reads of the repository, and of what the
// controller is built from.
func sources(t *testing.T) string {
	t.Helper()
	g := NewWithT(t)
	root, err := stage.Root()
	g.Expect(err).NotTo(HaveOccurred())
	dir := t.TempDir()
	for _, folder := range []string{"api", "config", "internal"} {
		g.Expect(os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join(root, folder)))).To(Succeed())
	}
	files, err := filepath.Glob(filepath.Join(root, "*.go"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, file := range append(files, filepath.Join(root, "go.mod"), filepath.Join(root, "go.sum")) {
		content, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o600)).To(Succeed())
	}
	return dir
}
