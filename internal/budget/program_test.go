// SPDX-License-Identifier: Apache-2.0

package budget_test

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

const howToRaise = "do without it, or raise the budget in internal/budget/budget_test.go, with the reason"

// program returns the program that make builds, and what it says it is built of.
func program(t *testing.T) (string, *debug.BuildInfo) {
	t.Helper()
	path := os.Getenv("CONTROLLER")
	if path == "" {
		t.Fatal(`CONTROLLER is not set: run "make test", or make build and set it to bin/image-reflector-controller`)
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, info
}

// linked returns the modules in the program beside this one's own.
func linked(t *testing.T) []string {
	t.Helper()
	_, info := program(t)
	var paths []string
	for _, dep := range info.Deps {
		if !strings.HasPrefix(dep.Path, info.Main.Path) {
			paths = append(paths, dep.Path)
		}
	}
	if len(paths) < 50 {
		t.Fatalf("only %d modules are found, so this tests nothing", len(paths))
	}
	return paths
}

func TestLinkedModules(t *testing.T) {
	paths := linked(t)
	t.Logf("%d of %d modules", len(paths), mostModules)
	if len(paths) > mostModules {
		t.Errorf("%d modules are linked, and %d may be: %s. They are:\n%s", len(paths), mostModules, howToRaise, strings.Join(paths, "\n"))
	}
	for _, path := range paths {
		for prefix, why := range forbidden {
			if path == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/") {
				t.Errorf("%s is linked, but %s: go mod why -m %s tells who brings it", path, why, path)
			}
		}
	}
}

// TestDirectModules compares the modules that go.mod requires directly, and that
// are linked, with the list: those for tests and for hack are not of the program.
func TestDirectModules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", "../../go.mod").Output()
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &file); err != nil {
		t.Fatal(err)
	}
	inProgram := linked(t)
	var found []string
	for _, require := range file.Require {
		if require.Indirect || !slices.Contains(inProgram, require.Path) {
			continue
		}
		found = append(found, require.Path)
		if direct[require.Path] == "" {
			t.Errorf("%s is a new direct dependency: %s", require.Path, howToRaise)
		}
	}
	for path := range direct {
		if !slices.Contains(found, path) {
			t.Errorf("%s is no direct dependency that is linked any more: take it off the list", path)
		}
	}
}

func TestSizeOfTheProgram(t *testing.T) {
	path, _ := program(t)
	stat, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f of %d MiB", float64(stat.Size())/(1<<20), mostBytes>>20)
	if stat.Size() > mostBytes {
		t.Errorf("the program has %d bytes, and may have %d: %s; go version -m says what is linked", stat.Size(), mostBytes, howToRaise)
	}
}

// TestHowTheProgramIsBuilt tests that it needs no C library, which an image
// without any files has not.
func TestHowTheProgramIsBuilt(t *testing.T) {
	_, info := program(t)
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	if settings["CGO_ENABLED"] != "0" || settings["-trimpath"] != "true" {
		t.Errorf("it is built with cgo or with paths of the machine: %v", settings)
	}
}
