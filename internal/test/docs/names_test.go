// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// derived matches the suffixes that Prometheus adds to the name of a histogram.
var derived = regexp.MustCompile(`_(bucket|sum|count)$`)

// TestNames_UsedInPagesExist checks that the flags, metrics, make targets and tests that pages name
// are defined.
func TestNames_UsedInPagesExist(t *testing.T) {
	for kind, k := range map[string]struct {
		inPages *regexp.Regexp // a flag of another program follows that program's name, and so does not match
		in      func(page) bool
		defined map[string]bool
	}{
		"flag": {
			inPages: regexp.MustCompile("(?:`|- )--([a-z0-9-]+)"),
			in:      func(p page) bool { return p.path != screensPage },
			defined: found(`(?m)^\| `+"`--([a-z0-9-]+)`", content(t, "docs/flags.md")),
		},
		"flag of explain": {
			inPages: regexp.MustCompile("(?:`|- )--([a-z0-9-]+)"),
			in:      func(p page) bool { return p.path == screensPage },
			defined: found(`(?m)^ +(?:-\w, )?--([a-z0-9-]+)`, output(t, controllerFromEnv(t), "explain", "--help")),
		},
		"metric": {
			inPages: regexp.MustCompile(`\b((?:gotk_reconcile|gotk_suspend|image_reflector|image_policy)_[a-z_]+[a-z])`),
			defined: found(`(?m)^\| `+"`([a-z_]+)`", content(t, "docs/metrics.md")),
		},
		"target of make": {
			inPages: regexp.MustCompile("`make ([a-z-]+)[^`]*`"),
			defined: found(`(?m)^([a-z][a-z-]*):`, content(t, "Makefile", "hack/make/*.mk")),
		},
		"test": {
			inPages: regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*)`"),
			in:      func(p page) bool { return p.path == securityPage },
			defined: found(`(?m)^func ((?:Test|Fuzz)[A-Z][A-Za-z0-9_]*)\(`, output(t, "grep", "-rhE", "--include=*_test.go", "^func (Test|Fuzz)", ".")),
		},
	} {
		uses := 0
		for _, p := range pages(t) {
			for i, line := range p.lines {
				for _, m := range k.inPages.FindAllStringSubmatch(line, -1) {
					if k.in != nil && !k.in(p) {
						continue
					}
					uses++
					if !k.defined[m[1]] && !k.defined[derived.ReplaceAllString(m[1], "")] {
						t.Errorf("%s:%d names the %s %s, which does not exist", p.path, i+1, kind, m[1])
					}
				}
			}
		}
		NewWithT(t).Expect(uses).NotTo(BeZero(), "no page names any %s", kind)
	}
}

// securityPage has a table of threats, with the tests of the measures against each.
const securityPage = "docs/security.md"

func TestThreats_NameTests(t *testing.T) {
	threats := regexp.MustCompile(`(?m)^\| *(?:[^-|].*?)\|.*\|(.*)\|$`).FindAllStringSubmatch(content(t, securityPage), -1)
	NewWithT(t).Expect(len(threats)).To(BeNumerically(">=", 20), "number of threats")
	for _, threat := range threats {
		if !strings.HasPrefix(threat[0], "| could try") && !strings.Contains(threat[1], "`Test") && !strings.Contains(threat[1], "`Fuzz") {
			t.Errorf("a threat names no test in its third column: %s", threat[0])
		}
	}
}

// found returns the matches of an expression's group in a text.
func found(expression, text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(expression).FindAllStringSubmatch(text, -1) {
		names[m[1]] = true
	}
	return names
}

// content returns the files of the repository that match the patterns.
func content(t *testing.T, patterns ...string) string {
	t.Helper()
	g := NewWithT(t)
	var text strings.Builder
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(root(t), pattern))
		g.Expect(err).NotTo(HaveOccurred(), "files that match %s", pattern)
		g.Expect(files).NotTo(BeEmpty(), "files that match %s", pattern)
		for _, file := range files {
			data, err := os.ReadFile(file)
			g.Expect(err).NotTo(HaveOccurred())
			text.Write(data)
		}
	}
	return text.String()
}

// output runs a program in the root of the repository and returns its output.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = root(t)
	printed, err := cmd.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "%s: %v\n%s", cmd, err, printed)
	return string(printed)
}

func controllerFromEnv(t *testing.T) string {
	t.Helper()
	controller := os.Getenv(testenv.ControllerVariable)
	NewWithT(t).Expect(controller).NotTo(BeEmpty(), "%s is not set, but this test needs the controller: run make test", testenv.ControllerVariable)
	return controller
}
