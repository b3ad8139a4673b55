// SPDX-License-Identifier: Apache-2.0

package mirrors

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

const (
	// pollInterval is the time between two checks for changes. The kubelet replaces the
	// files of a ConfigMap within about a minute.
	pollInterval = 5 * time.Second
	// maxFileBytes bounds the file and those of certificate authorities. A ConfigMap has
	// at most 1 MiB.
	maxFileBytes = 1 << 20
)

// File is a configuration that is reloaded when its file, or the file of a certificate
// authority, changes. It compares contents, because the kubelet replaces the files of a
// ConfigMap by changing a symbolic link. It is safe for concurrent use.
type File struct {
	path   string
	report func(error)

	current atomic.Pointer[Config]
	invalid atomic.Bool
	seen    string // the contents or the error of the last attempt
}

// Open loads a file. report is called after each change of the file, with the error if the
// new version is invalid, so that the previous one stays in use.
func Open(path string, report func(error)) (*File, error) {
	f := &File{path: path, report: report}
	config, seen, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("--registry-mirrors: %w", err)
	}
	f.current.Store(config)
	f.seen = seen
	return f, nil
}

// Hosts returns the hosts of an image repository by the current configuration.
func (f *File) Hosts(img image.Name) []Host { return f.current.Load().Hosts(img) }

// Registries returns the number of tables of registries in the current configuration.
func (f *File) Registries() int { return len(f.current.Load().registries) }

// Start reloads the file until the context ends. It implements manager.Runnable.
func (f *File) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(context.Context) { f.reload() }, pollInterval)
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (f *File) NeedLeaderElection() bool { return false }

// NewMetric returns the metric of a file.
func NewMetric(f *File) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "image_reflector_registry_mirrors_valid",
		Help: "Whether the last version of the file of --registry-mirrors is in use: 1, or 0 if it is invalid, " +
			"so that the previous one stays in use. Without the flag, there is no series.",
	}, func() float64 {
		if f.invalid.Load() {
			return 0
		}
		return 1
	})
}

// reload loads the file if it has changed.
func (f *File) reload() {
	config, seen, err := load(f.path)
	if seen == f.seen {
		return
	}
	f.seen = seen
	f.invalid.Store(err != nil)
	if err == nil {
		f.current.Store(config)
	}
	f.report(err)
}

// load loads a file. It returns a hash of what it read, and of the error.
func load(file string) (*Config, string, error) {
	hash := sha256.New()
	read := func(path string) ([]byte, error) {
		if !filepath.IsAbs(path) { // relative to the file, as in containerd
			path = filepath.Join(filepath.Dir(file), path)
		}
		content, err := readFile(path)
		fmt.Fprintf(hash, "%s\x00%x\x00", path, sha256.Sum256(content))
		return content, err
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, "", err
	}
	content, err := read(absolute)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: create it, or correct --registry-mirrors", err)
	}
	var config *Config
	if err == nil {
		config, err = Parse(content, read)
		if err != nil {
			err = fmt.Errorf("%s: %w", file, err)
		}
	}
	return config, fmt.Sprintf("%x %v", hash.Sum(nil), err), err
}

// readFile reads a file of at most maxFileBytes.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the files
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFileBytes {
		return nil, fmt.Errorf("%s has more than the %d bytes that are read", path, maxFileBytes)
	}
	return content, nil
}
