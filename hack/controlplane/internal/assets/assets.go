// SPDX-License-Identifier: Apache-2.0

// Package assets finds the folder that holds the programs of the control plane: the one that the environment names, the one
// that was built before, a download where that is asked for, and at last a build.
package assets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/build"
	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

const (
	// folderEnv names the folder, as it does for envtest.
	folderEnv = "KUBEBUILDER_ASSETS"
	// prebuiltEnv, set to 1, lets programs be downloaded by setup-envtest instead of built.
	prebuiltEnv = "CONTROLPLANE_PREBUILT"
)

// Finder finds the programs, or builds them.
type Finder struct {
	modules string // the folder of the modules that pin the programs, "" for the working directory
	bin     string // <version>/ is made below it
	log     func(line string)

	build    func(plan build.Plan, ctx context.Context, folder string, log func(line string)) error
	download func(ctx context.Context, version string, installedOnly bool) (string, error)
}

// New returns a Finder that logs to standard error. It runs in the folder of the modules, and keeps what it makes below another.
func New(bin string) *Finder {
	bin = filepath.Join(bin, "controlplane")
	return &Finder{
		bin:   bin,
		log:   func(line string) { fmt.Fprintln(os.Stderr, line) },
		build: build.Plan.Build,
		download: func(ctx context.Context, version string, installedOnly bool) (string, error) {
			return setupEnvtest(ctx, "../tools/setup-envtest", filepath.Join(bin, "prebuilt"), version, installedOnly)
		},
	}
}

// Find returns the folder of the programs. It builds those that are not ready where it may, and fails otherwise.
func (f *Finder) Find(ctx context.Context, mayBuild bool) (string, error) {
	if folder := os.Getenv(folderEnv); folder != "" {
		err := complete(folder)
		if err == nil {
			return folder, nil
		}
		f.log(fmt.Sprintf("%s is ignored: %v", folderEnv, err))
	}
	plans, folder, err := f.plans(ctx)
	if err != nil {
		return "", err
	}
	reason, err := stale(plans, folder)
	if err != nil || reason == "" {
		return folder, err
	}
	if os.Getenv(prebuiltEnv) == "1" {
		found, err := f.download(ctx, filepath.Base(folder), !mayBuild)
		if err == nil {
			err = complete(found)
		}
		if err == nil {
			return found, nil
		}
		f.log(fmt.Sprintf("no prebuilt programs: %v", err))
	}
	if !mayBuild {
		return "", fmt.Errorf("the control plane is not ready (%s): run `make controlplane`", reason)
	}
	return folder, f.buildStale(ctx, plans, folder)
}

// plans reads what the modules pin. The folder carries the version of Kubernetes.
func (f *Finder) plans(ctx context.Context) ([]build.Plan, string, error) {
	var plans []build.Plan
	folder := f.bin
	for _, program := range build.Programs() {
		plan, err := build.NewPlan(ctx, f.modules, program)
		if err != nil {
			return nil, "", err
		}
		plans = append(plans, plan)
		if plan.Name == build.KubeAPIServer {
			folder = filepath.Join(f.bin, plan.Version)
		}
	}
	return plans, folder, nil
}

// stale returns why the folder can't be used as it is. It is empty where it can.
func stale(plans []build.Plan, folder string) (string, error) {
	for _, plan := range plans {
		if reason, err := plan.Stale(folder); err != nil || reason != "" {
			return plan.Name + ": " + reason, err
		}
	}
	return "", nil
}

// buildStale builds what has to be built, in one process at a time. One that had to wait finds the programs built.
func (f *Finder) buildStale(ctx context.Context, plans []build.Plan, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	release, err := lock(ctx, filepath.Join(folder, ".lock"), func() { f.log("another process builds the control plane: waiting for it") })
	if err != nil {
		return fmt.Errorf("waiting for the lock of %s: %w", folder, err)
	}
	defer release()
	for _, plan := range plans {
		reason, err := plan.Stale(folder)
		if err != nil {
			return err
		}
		if reason == "" {
			continue
		}
		f.log(fmt.Sprintf("building %s %s: %s", plan.Name, plan.Version, reason))
		if err := f.build(plan, ctx, folder, f.log); err != nil {
			return err
		}
	}
	return nil
}

// complete fails where a folder lacks a program.
func complete(folder string) error {
	var missing []string
	for _, program := range build.Programs() {
		if !build.Executable(filepath.Join(folder, program.Name)) {
			missing = append(missing, program.Name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s does not hold %s", folder, strings.Join(missing, " and "))
	}
	return nil
}

// setupEnvtest returns the folder of the newest patch version that the tool of controller-runtime, pinned by a module, can
// get into a store. That may be another one than the version: not every patch release is published as programs.
func setupEnvtest(ctx context.Context, module, store, version string, installedOnly bool) (string, error) {
	args := []string{"tool", "setup-envtest", "use", minor(version), "--bin-dir", store, "--print", "path"}
	if installedOnly {
		args = append(args, "--installed-only")
	} else if err := os.MkdirAll(store, 0o755); err != nil {
		return "", err
	}
	return gocmd.Output(ctx, module, args...)
}

var minorOf = regexp.MustCompile(`^v(\d+\.\d+)\..*$`)

// minor turns v1.36.3 into 1.36.x, which setup-envtest reads as the newest patch version.
func minor(version string) string { return minorOf.ReplaceAllString(version, "$1.x") }
