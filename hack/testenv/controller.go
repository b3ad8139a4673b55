// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// Controller runs the image-reflector-controller as users do: as a process configured by
// flags.
type Controller struct {
	// Binary is the path of the program.
	Binary string
	// Dir contains its log and, in the folder tags, its storage.
	Dir string
	// Kubeconfig is the path of its kubeconfig.
	Kubeconfig string
	// Args are additional flags. They take precedence over those of storage, addresses and
	// log format.
	Args []string
	// Env is added to the environment.
	Env []string

	program
}

// Start starts the controller and waits until it is ready. After Stop or Kill, it restarts it
// with the same storage, arguments and ports.
func (c *Controller) Start(ctx context.Context) error {
	if err := os.MkdirAll(c.StoragePath(), 0o755); err != nil {
		return err
	}
	return c.launch(ctx, c.LogFile(), 2, c.command, "/readyz", http.StatusOK)
}

// LogFile returns the path of the log, to which all runs append.
func (c *Controller) LogFile() string { return filepath.Join(c.Dir, "controller.log") }

// StoragePath returns the folder in which the controller stores tags.
func (c *Controller) StoragePath() string { return filepath.Join(c.Dir, "tags") }

// MetricsURL returns the URL of its metrics. It is valid after the first Start.
func (c *Controller) MetricsURL() string { return "http://" + c.addr(1) + "/metrics" }

// Get returns the response body of the metrics server for a path, such as "/metrics".
func (c *Controller) Get(ctx context.Context, path string) ([]byte, error) {
	return get(ctx, "http://"+c.addr(1)+path, http.StatusOK)
}

func (c *Controller) command() *exec.Cmd {
	cmd := exec.Command(c.Binary, append([]string{
		"--storage-path=" + c.StoragePath(),
		"--health-addr=" + c.addr(0),
		"--metrics-addr=" + c.addr(1),
		"--log-encoding=console",
	}, c.Args...)...)
	cmd.Env = append(append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "RUNTIME_NAMESPACE="+Namespace), c.Env...)
	return cmd
}
