// SPDX-License-Identifier: Apache-2.0

package testenv_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

func TestMain(m *testing.M) {
	log.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	os.Exit(m.Run())
}

func binaries(t *testing.T) testenv.Binaries {
	t.Helper()
	binaries, err := testenv.BinariesFromEnv()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return binaries
}

func TestRegistry_KeepsImagesAndAddressAcrossRestarts(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	registry := &testenv.Registry{Binary: binaries(t).Registry, Dir: t.TempDir(), Username: "user", Password: "secret"}
	g.Expect(registry.Start(ctx)).To(Succeed())
	t.Cleanup(func() { g.Expect(registry.Stop()).To(Succeed()) })

	index, err := testenv.Index("one", "amd64", "arm64")
	g.Expect(err).NotTo(HaveOccurred())
	digest, err := registry.Push(ctx, "app:1.0.0", index)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(registry.Retag(ctx, "app:1.0.0", "app:latest")).To(Equal(digest))

	host := registry.Host()
	g.Expect(registry.Kill()).To(Succeed())
	g.Expect(registry.Done()).To(BeClosed())
	g.Expect(registry.Start(ctx)).To(Succeed())
	g.Expect(registry.Host()).To(Equal(host))
	g.Expect(registry.Digest(ctx, "app:latest")).To(Equal(digest))

	response, err := http.Get("http://" + host + "/v2/")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(response.Body.Close()).To(Succeed())
	g.Expect(response.StatusCode).To(Equal(http.StatusUnauthorized), "a registry with a password requires it")
}

func TestController_RestartsOnControlPlane(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	programs, dir := binaries(t), t.TempDir()
	root, err := testenv.Root()
	g.Expect(err).NotTo(HaveOccurred())

	plane := &testenv.ControlPlane{Assets: programs.Assets, Dir: filepath.Join(dir, "controlplane"), CRDs: []string{filepath.Join(root, "config/crd/bases")}}
	g.Expect(plane.Start(ctx)).To(Succeed())
	t.Cleanup(func() { g.Expect(plane.Stop()).To(Succeed()) })
	kubeconfig, err := plane.ControllerAccount(ctx, filepath.Join(root, "config/rbac/role.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	expectNoAdminPermissions(ctx, g, kubeconfig)

	controller := &testenv.Controller{Binary: programs.Controller, Dir: filepath.Join(dir, "controller"), Kubeconfig: kubeconfig}
	g.Expect(controller.Start(ctx)).To(Succeed())
	t.Cleanup(func() { g.Expect(controller.Stop()).To(Succeed()) })
	first, metrics := controller.PID(), controller.MetricsURL()
	g.Expect(controller.Start(ctx)).To(MatchError(ContainSubstring("is already running")))

	g.Expect(controller.Kill()).To(Succeed())
	g.Expect(controller.Exit()).To(MatchError(ContainSubstring("signal: killed")))
	g.Expect(controller.Start(ctx)).To(Succeed())
	g.Expect(controller.PID()).NotTo(Equal(first))
	g.Expect(controller.MetricsURL()).To(Equal(metrics))

	g.Expect(controller.Stop()).To(Succeed())
	g.Expect(controller.Exit()).To(MatchError(ContainSubstring("exit status 0")))
}

// expectNoAdminPermissions checks that the controller has only the permissions of its role.
func expectNoAdminPermissions(ctx context.Context, g *WithT, kubeconfig string) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	reader, err := client.New(config, client.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(reader.List(ctx, &corev1.NamespaceList{})).To(Succeed())
	g.Expect(reader.List(ctx, &corev1.SecretList{})).To(MatchError(ContainSubstring("forbidden")))
}

func TestController_StartErrorIncludesLog(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(dir, "kubeconfig"), []byte("no kubeconfig"), 0o600)).To(Succeed())

	controller := &testenv.Controller{Binary: binaries(t).Controller, Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig")}
	err := controller.Start(t.Context())

	g.Expect(err).To(MatchError(ContainSubstring("ended: exit status 1")))
	g.Expect(err).To(MatchError(ContainSubstring("cannot unmarshal string")), "the error contains the end of the log")
	g.Expect(controller.Done()).To(BeClosed())
	g.Expect(controller.Stop()).To(Succeed())
}

func TestBinariesFromEnv_ReportsMissingBinaries(t *testing.T) {
	g := NewWithT(t)
	t.Setenv(testenv.AssetsVariable, "")
	t.Setenv(testenv.RegistryVariable, "/does/not/exist")

	_, err := testenv.BinariesFromEnv()

	g.Expect(err).To(MatchError(ContainSubstring("KUBEBUILDER_ASSETS is not set")))
	g.Expect(err).To(MatchError(ContainSubstring("REGISTRY is '/does/not/exist'")))
	g.Expect(err).To(MatchError(ContainSubstring(`run "make test"`)))
}

func TestImage_DigestDependsOnContent(t *testing.T) {
	g := NewWithT(t)
	digest := func(content string) string {
		image, err := testenv.Image(content)
		g.Expect(err).NotTo(HaveOccurred())
		hash, err := image.Digest()
		g.Expect(err).NotTo(HaveOccurred())
		return hash.String()
	}
	g.Expect(digest("one")).To(Equal(digest("one")))
	g.Expect(digest("one")).NotTo(Equal(digest("two")))
}

func TestTail_ReturnsLastLines(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "log")
	g.Expect(os.WriteFile(file, []byte("a\nb\nc\n"), 0o600)).To(Succeed())
	g.Expect(testenv.Tail(file, 2)).To(Equal("    b\n    c"))
	g.Expect(testenv.Tail(file, 9)).To(Equal("    a\n    b\n    c"))
	g.Expect(testenv.Tail(file+"-missing", 2)).To(ContainSubstring("no such file"))
}
