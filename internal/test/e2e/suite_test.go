// SPDX-License-Identifier: Apache-2.0

// Package e2e_test runs the controller against a real control plane and real registries, and checks
// what its users see.
package e2e_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/api/v1beta2"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// suite is shared by all tests. Each test has its own namespaces, controllers and image
// repositories.
var suite struct {
	binaries testenv.Binaries
	// api is a client with all permissions.
	api client.WithWatch
	// kubeconfig has the credentials of the controller's ServiceAccount.
	kubeconfig string
	registry   *testenv.Registry
	// evidence is searched for secrets after the run.
	evidence *evidence
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the end-to-end tests failed:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (_ int, err error) {
	ctrl.SetLogger(logr.Discard()) // the log of the tests' own client is not needed
	if suite.binaries, err = testenv.BinariesFromEnv(); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	plane, err := startControlPlane(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, plane.Stop()) }()
	suite.registry = &testenv.Registry{Binary: suite.binaries.Registry, Dir: filepath.Join(dir, "registry")}
	if err := suite.registry.Start(ctx); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, suite.registry.Stop()) }()
	if suite.evidence, err = recordEvidence(filepath.Join(dir, "evidence")); err != nil {
		return 0, err
	}
	return runObserved(m, plane)
}

// runObserved runs the tests, and then checks the objects, the output and the permissions of all of
// them.
func runObserved(m *testing.M, plane *testenv.ControlPlane) (int, error) {
	observer, err := observe(context.Background())
	if err != nil {
		return 0, err
	}
	code := m.Run()
	complete := code == 0 && flag.Lookup("test.run").Value.String() == ""
	ctx, cancel := context.WithTimeout(context.Background(), eventuallyTimeout)
	defer cancel()
	err = errors.Join(observer.check(ctx, complete), suite.evidence.check(context.Background(), plane, complete))
	if complete {
		err = errors.Join(err, checkPermissions(plane.AuditLog()))
	}
	return code, err
}

func startControlPlane(ctx context.Context, dir string) (*testenv.ControlPlane, error) {
	root, err := testenv.Root()
	if err != nil {
		return nil, err
	}
	plane := &testenv.ControlPlane{
		Assets: suite.binaries.Assets,
		Dir:    filepath.Join(dir, "controlplane"),
		CRDs:   []string{filepath.Join(root, "config/crd/bases")},
		Audit:  true,
	}
	if err := plane.Start(ctx); err != nil {
		return nil, err
	}
	suite.kubeconfig, err = plane.ControllerAccount(ctx, filepath.Join(root, "config/rbac/role.yaml"))
	if err == nil {
		suite.api, err = client.NewWithWatch(plane.Config(), client.Options{Scheme: newScheme()})
	}
	if err == nil {
		err = testenv.AllowLeaderElection(ctx, suite.api, filepath.Join(root, "config/rbac/leader_election_role.yaml"))
	}
	if err != nil {
		return nil, errors.Join(err, plane.Stop())
	}
	return plane, nil
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, corev1.AddToScheme, v1.AddToScheme, v1beta2.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // the types are part of this repository
		}
	}
	return scheme
}
