// SPDX-License-Identifier: Apache-2.0

// Package assets returns the folder with the programs of the control plane, from the first source
// that has it: the environment, an earlier build, a download, a new build.
package assets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/build"
)

// FolderEnv is the variable with the folder, as for envtest.
const FolderEnv = "KUBEBUILDER_ASSETS"

// Finder finds, downloads or builds programs.
type Finder struct {
	programs []build.Program
	modules  string // folder of the modules that pin the programs, "" for the working directory
	bin      string // contains <version>/
	log      func(line string)

	build    func(plan build.Plan, ctx context.Context, folder string, log func(line string)) error
	prebuilt *prebuilt // nil if it is forbidden
}

// New returns a Finder of programs that logs to stderr, and builds below bin/controlplane. The
// working directory must be the folder of the modules. Unknown values of CONTROLPLANE_PREBUILT
// and an invalid CONTROLPLANE_INDEX are errors.
func New(bin string, programs []build.Program) (*Finder, error) {
	f := &Finder{
		programs: programs,
		bin:      filepath.Join(bin, "controlplane"),
		log:      func(line string) { fmt.Fprintln(os.Stderr, line) },
		build:    build.Plan.Build,
	}
	switch value := os.Getenv(prebuiltEnv); value {
	case "", "1", "true", "yes":
		prebuilt, err := newPrebuilt("../tools/setup-envtest", filepath.Join(f.bin, "prebuilt"), f.log)
		if err != nil {
			return nil, err
		}
		f.prebuilt = prebuilt
	case "0", "false", "no":
	default:
		return nil, fmt.Errorf("%s=%s: set it to 0, false or no to forbid a download, or to 1, true or yes to allow it", prebuiltEnv, value)
	}
	return f, nil
}

// Path returns the folder of the programs, or an error if one is missing or outdated.
func (f *Finder) Path(ctx context.Context) (string, error) {
	if folder := f.fromEnv(); folder != "" {
		return folder, nil
	}
	plans, folder, err := f.plans(ctx)
	if err != nil {
		return "", err
	}
	found, reason, err := f.existing(plans, folder)
	if err == nil && found == "" {
		err = fmt.Errorf("the control plane is not ready (%s): run `make controlplane`", reason)
	}
	return found, err
}

// Get returns the folder of the programs. If one is missing or outdated, it downloads or builds
// them. It calls first once, unless it fails earlier: before a build, during a download, or if
// neither is needed.
func (f *Finder) Get(ctx context.Context, first func(context.Context) error) (string, error) {
	if folder := f.fromEnv(); folder != "" {
		return folder, first(ctx)
	}
	plans, folder, err := f.plans(ctx)
	if err != nil {
		return "", err
	}
	found, _, err := f.existing(plans, folder)
	if err == nil && found == "" {
		release, failed := f.lock(ctx)
		if failed != nil {
			return "", failed
		}
		defer release()
		found, _, err = f.existing(plans, folder) // another process may have built or downloaded them meanwhile
	}
	if err != nil {
		return "", err
	}
	if found != "" {
		return found, first(ctx)
	}
	if found, err = f.download(ctx, filepath.Base(folder), first); err != nil || found != "" {
		return found, err
	}
	return folder, f.buildStale(ctx, plans, folder)
}

// fromEnv returns the folder in the environment, or "" if it is not set or incomplete.
func (f *Finder) fromEnv() string {
	folder := os.Getenv(FolderEnv)
	if folder == "" {
		return ""
	}
	if names := missing(folder, f.programs); names != "" {
		f.log(fmt.Sprintf("%s is ignored: %s does not contain %s", FolderEnv, folder, names))
		return ""
	}
	return folder
}

// existing returns the folder of an earlier build or download. If there is none, it returns "" and
// the reason why the build can't be used.
func (f *Finder) existing(plans []build.Plan, folder string) (string, string, error) {
	reason, err := stale(plans, folder)
	switch {
	case err != nil:
		return "", "", err
	case reason == "":
		return folder, "", nil
	case f.prebuilt == nil:
		return "", reason, nil
	default:
		return f.prebuilt.installed(filepath.Base(folder), f.programs), reason, nil
	}
}

// download calls the function first, and downloads the programs meanwhile. It returns "" if they
// can't be downloaded; the error is that of first.
func (f *Finder) download(ctx context.Context, version string, first func(context.Context) error) (string, error) {
	if f.prebuilt == nil {
		return "", first(ctx)
	}
	failed := func(err error) {
		f.log(fmt.Sprintf("the control plane is built, because it can't be downloaded: %v", err))
	}
	get, err := f.prebuilt.prepare(ctx, version, f.programs)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		failed(err)
		return "", first(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var folder string
	done := make(chan error, 1)
	go func() {
		var err error
		folder, err = get(ctx)
		done <- err
	}()
	if err := first(ctx); err != nil {
		cancel()
		<-done // so that its temporary files are removed
		return "", err
	}
	err = <-done
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		failed(err)
		return "", nil
	}
	return folder, nil
}

// plans returns a plan for each program, and their folder, which is named after the version of
// Kubernetes.
func (f *Finder) plans(ctx context.Context) ([]build.Plan, string, error) {
	var plans []build.Plan
	folder := f.bin
	for _, program := range f.programs {
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

// lock ensures that one process downloads or builds, and those that wait use its result. There is
// one lock for all versions, because their downloads have the same folder.
func (f *Finder) lock(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(f.bin, 0o755); err != nil {
		return nil, err
	}
	waiting := func() { f.log("another process is preparing the control plane: waiting for it") }
	release, err := lock(ctx, filepath.Join(f.bin, ".lock"), waiting)
	if err != nil {
		return nil, fmt.Errorf("waiting for the lock of %s: %w", f.bin, err)
	}
	return release, nil
}

// buildStale builds the stale programs.
func (f *Finder) buildStale(ctx context.Context, plans []build.Plan, folder string) error {
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

// missing returns the names of the programs that a folder does not contain, joined by and.
func missing(folder string, programs []build.Program) string {
	var names []string
	for _, program := range programs {
		if !build.Executable(filepath.Join(folder, program.Name)) {
			names = append(names, program.Name)
		}
	}
	return strings.Join(names, " and ")
}
