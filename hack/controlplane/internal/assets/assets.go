// SPDX-License-Identifier: Apache-2.0

// Package assets returns the folder with the programs of the control plane, from the first source
// that has it: the environment, an earlier build, a download if enabled, a new build.
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
	// folderEnv contains the folder, as for envtest.
	folderEnv = "KUBEBUILDER_ASSETS"
	// prebuiltEnv, if 1, enables a download by setup-envtest instead of a build.
	prebuiltEnv = "CONTROLPLANE_PREBUILT"
)

// Finder finds or builds the programs.
type Finder struct {
	modules string // folder of the modules that pin the programs, "" for the working directory
	bin     string // contains <version>/
	log     func(line string)

	build    func(plan build.Plan, ctx context.Context, folder string, log func(line string)) error
	download func(ctx context.Context, version string, installedOnly bool) (string, error)
}

// New returns a Finder that logs to stderr, and builds below bin/controlplane. The working
// directory must be the folder of the modules.
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

// Find returns the folder of the programs. If one is missing or outdated, it downloads or builds
// it, or returns an error if mayBuild is false.
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

// plans returns a plan for each program, and their folder, which is named after the version of
// Kubernetes.
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

// stale returns the reason why a program in the folder can't be used, or "".
func stale(plans []build.Plan, folder string) (string, error) {
	for _, plan := range plans {
		if reason, err := plan.Stale(folder); err != nil || reason != "" {
			return plan.Name + ": " + reason, err
		}
	}
	return "", nil
}

// buildStale builds the stale programs. A lock ensures that one process builds, and those that wait
// use its result.
func (f *Finder) buildStale(ctx context.Context, plans []build.Plan, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	waiting := func() { f.log("another process is building the control plane: waiting for it") }
	release, err := lock(ctx, filepath.Join(folder, ".lock"), waiting)
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

// complete returns an error if a program is missing in a folder.
func complete(folder string) error {
	var missing []string
	for _, program := range build.Programs() {
		if !build.Executable(filepath.Join(folder, program.Name)) {
			missing = append(missing, program.Name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s does not contain %s", folder, strings.Join(missing, " and "))
	}
	return nil
}

// setupEnvtest downloads the programs into a store with setup-envtest, as pinned by a module, and
// returns their folder. They have the newest published patch version of the same minor version,
// which may differ from version.
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

// minor converts v1.36.3 to 1.36.x, which selects the newest patch version in setup-envtest.
func minor(version string) string { return minorOf.ReplaceAllString(version, "$1.x") }
