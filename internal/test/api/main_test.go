// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	group     = "image.toolkit.fluxcd.io"
	namespace = "default"
)

// versions are the served versions of the API.
var versions = []string{"v1", "v1beta2"}

// server is the API server of all tests, with the CRDs installed.
var server struct {
	config *rest.Config
	// Client rejects unknown fields, so that a case can't pass because of a typing error.
	client.Client
}

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return fail("KUBEBUILDER_ASSETS is not set, but these tests need a control plane: " +
			`run "make test", or KUBEBUILDER_ASSETS="$(go -C hack/controlplane run . build)" go test ./internal/test/api`)
	}
	env := &envtest.Environment{
		CRDInstallOptions: envtest.CRDInstallOptions{
			Paths:              []string{"../../../config/crd/bases"},
			ErrorIfPathMissing: true,
			MaxTime:            time.Minute,
		},
		ControlPlaneStartTimeout: 2 * time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	// This fails if the API server rejects a CRD, such as for rules that don't compile or exceed
	// the cost budget.
	config, err := env.Start()
	if err != nil {
		return fail("starting the control plane with the CRDs of config/crd/bases: %v", err)
	}
	defer func() {
		if err := env.Stop(); err != nil {
			fail("stopping the control plane: %v", err)
		}
	}()
	c, err := client.New(config, client.Options{})
	if err != nil {
		return fail("making a client: %v", err)
	}
	server.config, server.Client = config, client.WithFieldValidation(c, "Strict")
	return m.Run()
}

func fail(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, "api tests: "+format+"\n", args...)
	return 1
}
