// SPDX-License-Identifier: Apache-2.0

// Package make_test tests the targets of the Makefile that users run and no other test covers.
package make_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

const root = "../.."

var (
	programs testenv.Binaries
	plane    *testenv.ControlPlane
	cluster  client.Client
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "setting up the tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (_ int, err error) {
	if programs, err = testenv.BinariesFromEnv(); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "make-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	plane = &testenv.ControlPlane{Assets: programs.Assets, Dir: dir}
	if err := plane.Start(context.Background()); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	if cluster, err = client.New(plane.Config(), client.Options{}); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// runMake runs make with arguments against the control plane, and returns its output. It does not
// inherit the settings of a make that runs the tests.
func runMake(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return runMakeIn(t, root, args...)
}

// runMakeIn runs make in a folder.
func runMakeIn(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"-C", dir, "--no-print-directory"}, args...)...)
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=", "MFLAGS=",
		"KUBECONFIG="+plane.Kubeconfig(), "KUBECTL="+filepath.Join(programs.Assets, "kubectl"))
	out, err := cmd.CombinedOutput()
	t.Logf("make %s\n%s", strings.Join(args, " "), out)
	return string(out), err
}

// mustMake runs make, which must succeed.
func mustMake(t *testing.T, args ...string) string {
	t.Helper()
	out, err := runMake(t, args...)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return out
}
