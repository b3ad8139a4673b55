// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

// Plan is a Program in the version that its module pins, with everything to build it or to detect
// that it is already built.
type Plan struct {
	Program
	Version string
	dir     string // of the module
	// stamp lists the inputs of the build as lines `key value`, without those of the environment, such
	// as GOFLAGS. It is stored next to the program, which is reused while the stamp is equal.
	stamp string
}

// NewPlan reads the pinned version of a program from its module in the folder modules.
func NewPlan(ctx context.Context, modules string, program Program) (Plan, error) {
	plan := Plan{Program: program, dir: filepath.Join(modules, program.Folder)}
	// The go command parses go.mod, so that this module has no dependencies.
	out, err := gocmd.Output(ctx, plan.dir, "mod", "edit", "-json")
	if err != nil {
		return Plan{}, err
	}
	var file struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal([]byte(out), &file); err != nil {
		return Plan{}, err
	}
	for _, required := range file.Require {
		if required.Path == program.Module {
			plan.Version = required.Version
		}
	}
	if plan.Version == "" {
		return Plan{}, fmt.Errorf("%s/go.mod does not require %s", plan.dir, program.Module)
	}
	// In the module's folder, because its go.mod may select another toolchain.
	goVersion, err := gocmd.Output(ctx, plan.dir, "env", "GOVERSION")
	if err != nil {
		return Plan{}, err
	}
	plan.stamp = fmt.Sprintf("package %s\nversion %s\nplatform %s/%s\ngo %s\nflags %s\n", plan.Package, plan.Version,
		runtime.GOOS, runtime.GOARCH, goVersion, strings.Join(plan.flags(plan.Version), " "))
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(plan.dir, name))
		if err != nil {
			return Plan{}, err
		}
		plan.stamp += fmt.Sprintf("%s %x\n", name, sha256.Sum256(content))
	}
	return plan, nil
}

// Stale returns the reason why the program in a folder can't be reused, or "".
func (p Plan) Stale(folder string) (string, error) {
	if !Executable(filepath.Join(folder, p.Name)) {
		return "not built yet", nil
	}
	old, err := os.ReadFile(p.stampFile(folder))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it has no stamp with the inputs of its build", nil
	case err != nil || string(old) == p.stamp:
		return "", err
	}
	for line := range strings.Lines(p.stamp) {
		if !strings.Contains("\n"+string(old), "\n"+line) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			return fmt.Sprintf("%s changed (is %q)", key, value), nil
		}
	}
	return "its stamp has unknown lines", nil
}

// Install moves a built program and its stamp into a folder. If it is interrupted, the folder never
// has a program with the stamp of another one.
func (p Plan) Install(built, folder string) error {
	if err := os.Remove(p.stampFile(folder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(built, filepath.Join(folder, p.Name)); err != nil {
		return err
	}
	// Renamed like the program, so that no reader sees a partial stamp.
	draft := built + ".stamp"
	if err := os.WriteFile(draft, []byte(p.stamp), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, p.stampFile(folder))
}

func (p Plan) stampFile(folder string) string { return filepath.Join(folder, p.Name+".stamp") }

// Executable reports whether a path is an executable file.
func Executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
