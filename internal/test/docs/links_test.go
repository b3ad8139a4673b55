// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^()\s]+)\)`)

// TestLinks_Resolve checks the links to files and headings in the repository.
func TestLinks_Resolve(t *testing.T) {
	allPages := pages(t)
	anchors := map[string]map[string]bool{}
	for _, p := range allPages {
		anchors[p.path] = p.anchors()
	}
	dir := root(t)
	for _, p := range allPages {
		for i, line := range p.prose() {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				path, anchor, _ := strings.Cut(m[1], "#")
				target := filepath.Join(filepath.Dir(p.path), path)
				if path == "" {
					target = p.path
				}
				if _, err := os.Stat(filepath.Join(dir, target)); err != nil {
					t.Errorf("%s:%d links to %s, which does not exist", p.path, i+1, m[1])
				} else if headings, ok := anchors[target]; ok && !headings[anchor] {
					t.Errorf("%s:%d links to %s, which has no such heading", p.path, i+1, m[1])
				}
			}
		}
	}
}
