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

// Plan is a Program at the version that its module pins: all that is needed to build it, or to see that it was.
type Plan struct {
	Program
	Version string
	dir     string // of the module that pins it
	// stamp is what the program is made from, a line `key value` for each. It is kept beside the program, which is used
	// again while it is the same.
	stamp string
}

// NewPlan reads the pin of a program from its module, below the given folder.
func NewPlan(ctx context.Context, modules string, program Program) (Plan, error) {
	plan := Plan{Program: program, dir: filepath.Join(modules, program.Folder)}
	// The go command parses go.mod, so that this module depends on nothing.
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
	// Asked in the module's folder: its go.mod may select another toolchain than the one this program was built with.
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

// Stale returns why the program in a folder can't be used again. It is empty where it can.
func (p Plan) Stale(folder string) (string, error) {
	if !Executable(filepath.Join(folder, p.Name)) {
		return "not built yet", nil
	}
	old, err := os.ReadFile(p.stampFile(folder))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it has no stamp that says what it was built from", nil
	case err != nil || string(old) == p.stamp:
		return "", err
	}
	for line := range strings.Lines(p.stamp) {
		if !strings.Contains("\n"+string(old), "\n"+line) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			return fmt.Sprintf("%s changed (is %q)", key, value), nil
		}
	}
	return "its stamp has lines of another form", nil
}

// Install moves a finished program into a folder. Whenever that is interrupted, no program lies beside the stamp of
// another one.
func (p Plan) Install(built, folder string) error {
	if err := os.Remove(p.stampFile(folder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(built, filepath.Join(folder, p.Name)); err != nil {
		return err
	}
	// Renamed like the program, so that it is never read half-written.
	draft := built + ".stamp"
	if err := os.WriteFile(draft, []byte(p.stamp), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, p.stampFile(folder))
}

func (p Plan) stampFile(folder string) string { return filepath.Join(folder, p.Name+".stamp") }

// Executable reports whether a path is a file that can be run.
func Executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
