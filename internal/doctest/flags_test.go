// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

var (
	// flagInHelp is how the help of the controller lists a flag.
	flagInHelp = regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z0-9-]+)`)
	// flagInDocs is how pages name one: as code that begins with it, or as an
	// item of a container's arguments. A flag of another program stands behind
	// that program's name.
	flagInDocs = regexp.MustCompile("(?:`|- )--([a-z0-9-]+)")
)

// flagsPage is the page that has to name every flag.
const flagsPage = "docs/flags.md"

// TestFlags holds the pages to the help of the controller, and one page to all
// of it.
func TestFlags(t *testing.T) {
	controller := os.Getenv(stage.ControllerVariable)
	if controller == "" {
		t.Fatalf("%s is not set, and this test needs the controller: run make test", stage.ControllerVariable)
	}
	exist, ofExplain := flagsOf(t, controller, "--help"), flagsOf(t, controller, "explain", "--help")
	documented := map[string]bool{}
	for _, p := range pages(t) {
		known, whose := exist, "the controller"
		if p.path == screensPage {
			known, whose = ofExplain, "explain"
		}
		for i, line := range p.lines {
			for _, m := range flagInDocs.FindAllStringSubmatch(line, -1) {
				if !known[m[1]] {
					t.Errorf("%s:%d names the flag --%s, which %s does not have", p.path, i+1, m[1], whose)
				}
				if p.path == flagsPage {
					documented[m[1]] = true
				}
			}
		}
	}
	for name := range exist {
		if !documented[name] {
			t.Errorf("%s does not name the flag --%s", flagsPage, name)
		}
	}
}

// flagsOf returns the flags that a help lists.
func flagsOf(t *testing.T, controller string, args ...string) map[string]bool {
	t.Helper()
	help, err := exec.Command(controller, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, help)
	}
	exist := map[string]bool{}
	for _, m := range flagInHelp.FindAllStringSubmatch(string(help), -1) {
		exist[m[1]] = true
	}
	if len(exist) == 0 {
		t.Fatalf("the help names no flag:\n%s", help)
	}
	return exist
}
