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

	. "github.com/onsi/gomega"
)

const howToRaise = "avoid it, or raise the budget in internal/test/budget/budget_test.go, with the reason"

// program returns the path of the program and its build information.
func program(t *testing.T) (string, *debug.BuildInfo) {
	t.Helper()
	g := NewWithT(t)
	path := os.Getenv("CONTROLLER")
	g.Expect(path).NotTo(BeEmpty(), `CONTROLLER is not set: run "make test", or make build and set it to bin/image-reflector-controller`)
	info, err := buildinfo.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	return path, info
}

// linked returns the modules in the program, without those of this repository.
func linked(t *testing.T) []string {
	t.Helper()
	_, info := program(t)
	var paths []string
	for _, dep := range info.Deps {
		if !strings.HasPrefix(dep.Path, info.Main.Path) {
			paths = append(paths, dep.Path)
		}
	}
	NewWithT(t).Expect(len(paths)).To(BeNumerically(">=", 50), "number of linked modules")
	return paths
}

func TestLinkedModules_StayWithinBudget(t *testing.T) {
	g := NewWithT(t)
	paths := linked(t)
	t.Logf("%d of %d modules", len(paths), mostModules)
	g.Expect(len(paths)).To(BeNumerically("<=", mostModules), "%d modules are linked, but at most %d are allowed: %s. They are:\n%s", len(paths), mostModules, howToRaise, strings.Join(paths, "\n"))
	for _, path := range paths {
		for prefix, reason := range forbidden {
			g.Expect(path).NotTo(Equal(strings.TrimSuffix(prefix, "/")), "%s is linked, but %s: go mod why -m %s shows what requires it", path, reason, path)
			g.Expect(path).NotTo(HavePrefix(strings.TrimSuffix(prefix, "/")+"/"), "%s is linked, but %s: go mod why -m %s shows what requires it", path, reason, path)
		}
	}
}

// TestDirectModules_MatchList compares the linked modules that go.mod requires directly with the
// list. Modules that are not linked are for tests and hack.
func TestDirectModules_MatchList(t *testing.T) {
	g := NewWithT(t)
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", "../../../go.mod").Output()
	g.Expect(err).NotTo(HaveOccurred())
	var file struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	g.Expect(json.Unmarshal(out, &file)).To(Succeed())
	inProgram := linked(t)
	var found []string
	for _, require := range file.Require {
		if require.Indirect || !slices.Contains(inProgram, require.Path) {
			continue
		}
		found = append(found, require.Path)
		g.Expect(direct[require.Path]).NotTo(BeEmpty(), "%s is a new direct dependency: %s", require.Path, howToRaise)
	}
	for path := range direct {
		g.Expect(found).To(ContainElement(path), "no longer a linked direct dependency: remove it from the list")
	}
}

func TestBinary_StaysWithinSizeBudget(t *testing.T) {
	g := NewWithT(t)
	path, _ := program(t)
	stat, err := os.Stat(path)
	g.Expect(err).NotTo(HaveOccurred())
	t.Logf("%.1f of %d MiB", float64(stat.Size())/(1<<20), mostBytes>>20)
	g.Expect(stat.Size()).To(BeNumerically("<=", mostBytes), "the program has %d bytes, but may have at most %d: %s; go version -m lists the linked modules", stat.Size(), mostBytes, howToRaise)
}

// TestBinary_IsBuiltWithoutCgo checks that the program needs no C library, since its image has no
// other files.
func TestBinary_IsBuiltWithoutCgo(t *testing.T) {
	g := NewWithT(t)
	_, info := program(t)
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	g.Expect(settings["CGO_ENABLED"]).To(Equal("0"), "it must be built without cgo and with -trimpath: %v", settings)
	g.Expect(settings["-trimpath"]).To(Equal("true"), "it must be built without cgo and with -trimpath: %v", settings)
}
