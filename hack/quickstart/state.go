// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// state is the part of a run that other processes need.
type state struct {
	// Kubeconfig is the path of the kubeconfig.
	Kubeconfig string
	// PublicHost and PrivateHost are the addresses of the registries.
	PublicHost, PrivateHost string
	// Username and Password are those of the private registry.
	Username, Password string
	// ControllerPID is the process ID of the controller.
	ControllerPID int
	// ControllerLog is the path of its log.
	ControllerLog string
	// MetricsURL is the URL of its metrics.
	MetricsURL string
}

const stateFile = "run.json"

// write writes the state to the folder of the run.
func (s state) write(dir string) error {
	content, err := json.MarshalIndent(s, "", "  ") //nolint:gosec // a generated password of a local registry, readable by its owner only
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, stateFile), content, 0o600)
}

// readState reads the state of a run from its folder.
func readState(dir string) (state, error) {
	var s state
	content, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return s, fmt.Errorf("the run is not up yet: %w", err)
	}
	return s, json.Unmarshal(content, &s)
}

// registry returns the registry of a repository.
func (s state) registry(repository string) *testenv.Registry {
	if repository == private {
		return testenv.RegistryAt(s.PrivateHost, s.Username, s.Password)
	}
	return testenv.RegistryAt(s.PublicHost, "", "")
}

// client returns a client of the cluster.
func (s state) client() (client.Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return nil, err
	}
	config.WarningHandler = rest.NoWarnings{} // one of the samples uses the deprecated version
	return testenv.Client(config)
}
