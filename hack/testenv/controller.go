// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// Controller is the image-reflector-controller, run as its users run it: as a
// process that is configured by flags.
type Controller struct {
	// Binary is the program.
	Binary string
	// Dir is where its log is and, below tags, its storage.
	Dir string
	// Kubeconfig is the file that says how it reaches the cluster.
	Kubeconfig string
	// Args are flags beside those of storage, addresses and log format. They
	// win over these.
	Args []string
	// Env is set in addition to the environment.
	Env []string

	program
}

// Start starts the controller, and returns when it says that it is ready. After
// Stop or Kill it starts again with the same storage, arguments and ports.
func (c *Controller) Start(ctx context.Context) error {
	if err := os.MkdirAll(c.StoragePath(), 0o755); err != nil {
		return err
	}
	return c.launch(ctx, c.LogFile(), 2, c.command, "/readyz", http.StatusOK)
}

// LogFile is the file that all its runs write their output to.
func (c *Controller) LogFile() string { return filepath.Join(c.Dir, "controller.log") }

// StoragePath is where the controller keeps its tags.
func (c *Controller) StoragePath() string { return filepath.Join(c.Dir, "tags") }

// MetricsURL is where its metrics are, known once it was started.
func (c *Controller) MetricsURL() string { return "http://" + c.addr(1) + "/metrics" }

// Get returns what the server of the metrics has at a path, such as "/metrics".
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
