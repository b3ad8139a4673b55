// SPDX-License-Identifier: Apache-2.0

package session

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/internal/demo"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

// State is what other processes need to know of a run.
type State struct {
	// Kubeconfig is the file that says how the cluster is reached.
	Kubeconfig string
	// Hosts are the addresses of the registries.
	Hosts demo.Hosts
	// Username and Password are for the private one.
	Username, Password string
	// ControllerPID is the process id of the controller.
	ControllerPID int
	// ControllerLog is its log.
	ControllerLog string
	// MetricsURL is where its metrics are.
	MetricsURL string
}

func (s *session) state() State {
	return State{
		Kubeconfig:    filepath.Join(s.Dir, "kubeconfig"),
		Hosts:         s.hosts(),
		Username:      s.private.Username,
		Password:      s.private.Password,
		ControllerPID: s.controller.PID(),
		ControllerLog: s.controller.LogFile(),
		MetricsURL:    s.controller.MetricsURL(),
	}
}

const stateFile = "run.json"

// write makes the state, and the kubeconfig beside it, known to others.
func (s State) write(dir string) error {
	kubeconfig, err := os.ReadFile(filepath.Join(dir, "controlplane", "kubeconfig"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.Kubeconfig, kubeconfig, 0o600); err != nil {
		return err
	}
	content, err := json.MarshalIndent(s, "", "  ") //nolint:gosec // the password of a registry that this run made up, for its owner only
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, stateFile), content, 0o600)
}

// ReadState reads the state of a run from its folder.
func ReadState(dir string) (State, error) {
	var state State
	content, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return state, fmt.Errorf("the run is not up yet: %w", err)
	}
	return state, json.Unmarshal(content, &state)
}

// Registry returns the registry that a repository is in.
func (s State) Registry(repository string) *stage.Registry {
	if demo.Private(repository) {
		return stage.RegistryAt(s.Hosts.Private, s.Username, s.Password)
	}
	return stage.RegistryAt(s.Hosts.Public, "", "")
}

// Client returns a client of the cluster.
func (s State) Client() (client.Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return nil, err
	}
	return newClient(config)
}

func newClient(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	// one of the samples is of a deprecated version on purpose
	config.WarningHandler = rest.NoWarnings{}
	return client.New(config, client.Options{Scheme: scheme})
}

func newPassword() string { return rand.Text() }
