// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`")
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)\(`)
)

// testsOf returns the names of all tests of the repository.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(content, -1) {
			found[string(m[1])] = true
		}
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("found %d tests, error %v", len(found), err)
	}
	return found
}

// TestThreatsHaveTests tests that every threat of the page about security names
// the tests that hold what stands against it, and that there are such tests.
func TestThreatsHaveTests(t *testing.T) {
	tests := testsOf(t, root(t))
	content, err := os.ReadFile(filepath.Join(root(t), "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	threats := 0
	for i, line := range strings.Split(string(content), "\n") {
		for _, m := range testName.FindAllStringSubmatch(line, -1) {
			if !tests[m[1]] {
				t.Errorf("docs/security.md:%d names %s, which is no test", i+1, m[1])
			}
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") || strings.TrimSpace(cells[0]) == "could try" {
			continue
		}
		threats++
		if len(cells) != 3 || !testName.MatchString(cells[2]) {
			t.Errorf("docs/security.md:%d: the threat %q names no test in its third column", i+1, strings.TrimSpace(cells[0]))
		}
	}
	if threats < 20 {
		t.Errorf("only %d threats are found: has the page changed its form?", threats)
	}
}
