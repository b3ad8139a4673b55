// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// cluster is shared by the tests: an API server with the controller, and a registry.
var cluster struct {
	kubeconfig string
	controller string // path of the program, for its command explain
	registry   *testenv.Registry
	admin      client.Client
}

// binaries are the flux CLIs, by the version of the API that they use.
var binaries = map[string]string{"v1": os.Getenv("FLUX"), "v1beta2": os.Getenv("FLUX_V1BETA2")}

func TestMain(m *testing.M) {
	if binaries["v1"]+binaries["v1beta2"]+cosign.binary+cosignV2.binary+oras.binary == "" {
		fmt.Println("skipped: make conformance builds the CLIs of flux, cosign and ORAS, and runs these tests with them")
		return
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "setting up the tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (_ int, err error) {
	programs, err := testenv.BinariesFromEnv()
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root, err := testenv.Root()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	plane := &testenv.ControlPlane{Assets: programs.Assets, Dir: filepath.Join(dir, "controlplane"), CRDs: []string{filepath.Join(root, "config/crd/bases")}}
	if err := plane.Start(ctx); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	cluster.kubeconfig, cluster.controller = plane.Kubeconfig(), programs.Controller
	if cluster.admin, err = testenv.Client(plane.Config()); err != nil {
		return 0, err
	}
	cluster.registry = &testenv.Registry{Binary: programs.Registry, Dir: filepath.Join(dir, "registry")}
	if err := cluster.registry.Start(ctx); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, cluster.registry.Stop()) }()
	account, err := plane.ControllerAccount(ctx, filepath.Join(root, "config/rbac/role.yaml"))
	if err != nil {
		return 0, err
	}
	controller := &testenv.Controller{Binary: programs.Controller, Dir: filepath.Join(dir, "controller"), Kubeconfig: account,
		Args: []string{"--requeue-dependency=1s", "--max-retry-delay=2s"}}
	if err := controller.Start(ctx); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, controller.Stop()) }()
	return m.Run(), nil
}

// cli is the flux CLI of one version, with its own namespace.
type cli struct {
	*WithT
	t         *testing.T
	version   string
	namespace string
}

// forEachCLI runs a subtest with the flux CLI of each version.
func forEachCLI(t *testing.T, test func(cli)) {
	for version := range binaries {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(cli{WithT: NewWithT(t), t: t, version: version, namespace: newNamespace(t, "flux-"+version+"-")})
		})
	}
}

// newNamespace creates a namespace with a generated name, and returns the name.
func newNamespace(t *testing.T, prefix string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix}}
	NewWithT(t).Expect(cluster.admin.Create(t.Context(), namespace)).To(Succeed())
	return namespace.Name
}

// run runs a command and returns its output.
func (c cli) run(command string, args ...string) (string, error) {
	c.t.Helper()
	words := append(strings.Fields(command), args...)
	words = append(words, "--namespace="+c.namespace, "--timeout=20s")
	process := exec.CommandContext(c.t.Context(), binaries[c.version], words...)
	process.Env = append(os.Environ(), "KUBECONFIG="+cluster.kubeconfig, "HOME="+c.t.TempDir())
	var output bytes.Buffer
	process.Stdout, process.Stderr = &output, &output
	err := process.Run()
	c.t.Logf("$ flux %s\n%s", strings.Join(words, " "), output.String())
	return output.String(), err
}

// flux runs a command that must succeed, and returns its output.
func (c cli) flux(command string, args ...string) string {
	c.t.Helper()
	output, err := c.run(command, args...)
	c.Expect(err).NotTo(HaveOccurred(), "flux %s: %s", command, output)
	return output
}

// fails runs a command that must fail, and returns its output.
func (c cli) fails(command string, args ...string) string {
	c.t.Helper()
	output, err := c.run(command, args...)
	c.Expect(err).To(HaveOccurred(), "flux %s: %s", command, output)
	return output
}

// image returns the full name of the namespace's image.
func (c cli) image() string { return cluster.registry.Image(c.namespace + "/app") }

func (c cli) push(tags ...string) {
	c.t.Helper()
	for _, tag := range tags {
		image, err := testenv.Image("content of " + tag)
		c.Expect(err).NotTo(HaveOccurred())
		_, err = cluster.registry.Push(c.t.Context(), c.namespace+"/app:"+tag, image)
		c.Expect(err).NotTo(HaveOccurred())
	}
}
