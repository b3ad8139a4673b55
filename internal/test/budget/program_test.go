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

const howToRaise = "do without it, or raise the budget in internal/test/budget/budget_test.go, with the reason"

// program returns the program that make builds, and what it says it is built of.
func program(t *testing.T) (string, *debug.BuildInfo) {
	t.Helper()
	g := NewWithT(t)
	path := os.Getenv("CONTROLLER")
	g.Expect(path).NotTo(BeEmpty(), `CONTROLLER is not set: run "make test", or make build and set it to bin/image-reflector-controller`)
	info, err := buildinfo.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
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
	NewWithT(t).Expect(len(paths)).To(BeNumerically(">=", 50), "only")
	return paths
}

func TestLinkedModules_StayWithinBudget(t *testing.T) {
	g := NewWithT(t)
	paths := linked(t)
	t.Logf("%d of %d modules", len(paths), mostModules)
	g.Expect(len(paths)).To(BeNumerically("<=", mostModules), "%d modules are linked, and %d may be: %s. They are:\n%s", len(paths), mostModules, howToRaise, strings.Join(paths, "\n"))
	for _, path := range paths {
		for prefix, why := range forbidden {
			g.Expect(path).NotTo(Equal(strings.TrimSuffix(prefix, "/")), "%s is linked, but %s: go mod why -m %s tells who brings it", path, why, path)
			g.Expect(path).NotTo(HavePrefix(strings.TrimSuffix(prefix, "/")+"/"), "%s is linked, but %s: go mod why -m %s tells who brings it", path, why, path)
		}
	}
}

// TestDirectModules_MatchList compares the modules that go.mod requires directly, and that
// are linked, with the list: those for tests and for hack are not of the program.
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
		g.Expect(found).To(ContainElement(path), "what is no direct dependency that is linked any more: take it off the list")
	}
}

func TestBinary_StaysWithinSizeBudget(t *testing.T) {
	g := NewWithT(t)
	path, _ := program(t)
	stat, err := os.Stat(path)
	g.Expect(err).NotTo(HaveOccurred())
	t.Logf("%.1f of %d MiB", float64(stat.Size())/(1<<20), mostBytes>>20)
	g.Expect(stat.Size()).To(BeNumerically("<=", mostBytes), "the program has %d bytes, and may have %d: %s; go version -m says what is linked", stat.Size(), mostBytes, howToRaise)
}

// TestBinary_IsBuiltWithoutCgo tests that it needs no C library, which an image
// without any files has not.
func TestBinary_IsBuiltWithoutCgo(t *testing.T) {
	g := NewWithT(t)
	_, info := program(t)
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	g.Expect(settings["CGO_ENABLED"]).To(Equal("0"), "it is built with cgo or with paths of the machine: %v", settings)
	g.Expect(settings["-trimpath"]).To(Equal("true"), "it is built with cgo or with paths of the machine: %v", settings)
}
