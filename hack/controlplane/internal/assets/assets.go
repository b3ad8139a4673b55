// SPDX-License-Identifier: Apache-2.0

// Package assets finds the folder that holds the control plane's binaries, in the order a developer would expect:
// the one they name, the one already built, a download where they ask for it, and at last a build.
package assets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/binary"
	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/filelock"
	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gobuild"
	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/progress"
)

const (
	// folderEnv is how envtest is told where the binaries are, so it is obeyed here too.
	folderEnv = "KUBEBUILDER_ASSETS"
	// prebuiltEnv, set to 1, lets binaries be downloaded by setup-envtest instead of built.
	prebuiltEnv = "CONTROLPLANE_PREBUILT"
)

// Finder finds the binaries, or makes them.
type Finder struct {
	modules string // the folder of the modules that pin the binaries
	bin     string // controlplane/<version>/ is made below it
	binary  []binary.Binary
	getenv  func(string) string
	log     func(line string)

	build    func(ctx context.Context, plan binary.Plan, folder string) error
	download func(ctx context.Context, version string, installedOnly bool) (string, error)
}

// New makes a Finder that reports to standard error.
func New(modules, tools, bin string) *Finder {
	display := progress.NewDisplay(os.Stderr)
	return &Finder{
		modules: modules,
		bin:     filepath.Join(bin, "controlplane"),
		binary:  binary.All(),
		getenv:  os.Getenv,
		log:     display.Println,
		build: func(ctx context.Context, plan binary.Plan, folder string) error {
			return gobuild.Build(ctx, plan, folder, display)
		},
		download: setupEnvtest{
			module: filepath.Join(tools, "setup-envtest"),
			store:  filepath.Join(bin, "controlplane", "prebuilt"),
		}.use,
	}
}

// Path returns the folder of the binaries where they are ready.
func (f *Finder) Path(ctx context.Context) (string, error) {
	if folder, ok := f.named(); ok {
		return folder, nil
	}
	set, err := f.plan(ctx)
	if err != nil {
		return "", err
	}
	reason, err := set.stale()
	if err != nil || reason == "" {
		return set.folder, err
	}
	if f.getenv(prebuiltEnv) == "1" {
		if folder, err := f.download(ctx, set.version, true); err == nil && f.complete(folder) {
			return folder, nil
		}
	}
	return "", fmt.Errorf("the control plane is not ready (%s): run `make controlplane`", reason)
}

// Build returns the folder of the binaries, and makes them first where they are not ready.
func (f *Finder) Build(ctx context.Context) (string, error) {
	if folder, ok := f.named(); ok {
		return folder, nil
	}
	set, err := f.plan(ctx)
	if err != nil {
		return "", err
	}
	reason, err := set.stale()
	if err != nil || reason == "" {
		return set.folder, err
	}
	if f.getenv(prebuiltEnv) == "1" {
		if folder, ok := f.prebuilt(ctx, set.version); ok {
			return folder, nil
		}
	}
	return set.folder, f.buildStale(ctx, set)
}

// named returns the folder that the developer named, if it holds what is needed.
func (f *Finder) named() (string, bool) {
	folder := f.getenv(folderEnv)
	if folder == "" {
		return "", false
	}
	if !f.complete(folder) {
		f.log(fmt.Sprintf("%s=%s does not hold %s: ignored", folderEnv, folder, strings.Join(f.names(), " and ")))
		return "", false
	}
	return folder, true
}

func (f *Finder) prebuilt(ctx context.Context, version string) (string, bool) {
	folder, err := f.download(ctx, version, false)
	if err == nil && !f.complete(folder) {
		err = fmt.Errorf("%s does not hold %s", folder, strings.Join(f.names(), " and "))
	}
	if err != nil {
		f.log(fmt.Sprintf("no ready-made binaries, so they are built: %v", err))
		return "", false
	}
	return folder, true
}

// buildStale builds what has to be built, one process at a time. A process that had to wait finds the work done.
func (f *Finder) buildStale(ctx context.Context, set set) error {
	if err := os.MkdirAll(set.folder, 0o755); err != nil {
		return err
	}
	release, err := filelock.Acquire(ctx, filepath.Join(set.folder, ".lock"), func() {
		f.log("another process builds the control plane: waiting for it")
	})
	if err != nil {
		return fmt.Errorf("waiting for the lock of %s: %w", set.folder, err)
	}
	defer release()
	for _, plan := range set.plans {
		reason, err := plan.Stale(set.folder)
		if err != nil {
			return err
		}
		if reason == "" {
			continue
		}
		f.log(fmt.Sprintf("building %s %s: %s", plan.Name, plan.Version, reason))
		if err := f.build(ctx, plan, set.folder); err != nil {
			return err
		}
	}
	return nil
}

func (f *Finder) complete(folder string) bool {
	for _, name := range f.names() {
		if !binary.Executable(filepath.Join(folder, name)) {
			return false
		}
	}
	return true
}

func (f *Finder) names() []string {
	var names []string
	for _, b := range f.binary {
		names = append(names, b.Name)
	}
	return names
}
