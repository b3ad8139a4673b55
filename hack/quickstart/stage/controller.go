// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
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
	// MetricsFile, where there is one, gets the metrics appended as they are
	// each time before the controller is ended.
	MetricsFile string

	program
	health, metrics string
}

// startAttempts bounds how often other ports are tried where somebody took
// the ones that were free a moment before.
const startAttempts = 3

// Start starts the controller, and returns when it says that it is ready. After
// Stop or Kill it starts again with the same storage, arguments and ports.
func (c *Controller) Start(ctx context.Context) error {
	logFile := filepath.Join(c.Dir, "controller.log")
	var err error
	for range startAttempts {
		if err = c.choosePorts(); err != nil {
			return err
		}
		offset := size(logFile)
		err = c.launch(ctx, c.command(logFile), func(ctx context.Context) error {
			_, err := get(ctx, "http://"+c.health+"/readyz", http.StatusOK)
			return err
		})
		if err == nil || !bytes.Contains(logSince(logFile, offset), []byte("address already in use")) {
			return err
		}
		c.health, c.metrics = "", ""
	}
	return err
}

// Stop ends the controller as Kubernetes does.
func (c *Controller) Stop() error {
	return errors.Join(c.keepMetrics(), c.program.Stop())
}

// Kill ends the controller as a crash does.
func (c *Controller) Kill() error {
	return errors.Join(c.keepMetrics(), c.program.Kill())
}

// Restart stops the controller, and starts it again with all that it had.
func (c *Controller) Restart(ctx context.Context) error {
	if err := c.Stop(); err != nil {
		return err
	}
	return c.Start(ctx)
}

// StoragePath is where the controller keeps its tags.
func (c *Controller) StoragePath() string { return filepath.Join(c.Dir, "tags") }

// MetricsURL is where its metrics are, known once it was started.
func (c *Controller) MetricsURL() string { return "http://" + c.metrics + "/metrics" }

// Get returns what the server of the metrics has at a path, such as "/metrics".
func (c *Controller) Get(ctx context.Context, path string) ([]byte, error) {
	return get(ctx, "http://"+c.metrics+path, http.StatusOK)
}

// HealthURL is where its probes are, without the path of the probe.
func (c *Controller) HealthURL() string { return "http://" + c.health }

func (c *Controller) command(logFile string) command {
	return command{
		binary: c.Binary,
		args: slices.Concat([]string{
			"--storage-path=" + c.StoragePath(),
			"--metrics-addr=" + c.metrics,
			"--health-addr=" + c.health,
			"--log-encoding=console",
		}, c.Args),
		env:     append([]string{"KUBECONFIG=" + c.Kubeconfig, "RUNTIME_NAMESPACE=" + Namespace}, c.Env...),
		logFile: logFile,
	}
}

func (c *Controller) choosePorts() error {
	if err := os.MkdirAll(c.StoragePath(), 0o755); err != nil || c.health != "" {
		return err
	}
	addresses, err := freeAddresses(2)
	if err != nil {
		return fmt.Errorf("no free port: %w", err)
	}
	c.health, c.metrics = addresses[0], addresses[1]
	return nil
}

// freeAddresses returns addresses that nobody listens on right now.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close() // not before the others are chosen
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// keepMetrics appends the metrics to MetricsFile. A controller that does not run
// has none.
func (c *Controller) keepMetrics() error {
	if c.MetricsFile == "" || isClosed(c.Done()) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	metrics, err := c.Get(ctx, "/metrics")
	if err != nil {
		return nil //nolint:nilerr // one that ends, or waits for something, serves none
	}
	file, err := os.OpenFile(c.MetricsFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(metrics)
	return errors.Join(err, file.Close())
}
