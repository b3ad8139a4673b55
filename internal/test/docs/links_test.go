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

// TestLinks_Resolve follows the links that stay within the repository.
func TestLinks_Resolve(t *testing.T) {
	all := pages(t)
	known := map[string]map[string]bool{}
	for _, p := range all {
		known[p.path] = p.anchors()
	}
	dir := root(t)
	for _, p := range all {
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
				} else if anchors, ok := known[target]; ok && !anchors[anchor] {
					t.Errorf("%s:%d links to %s, which has no such heading", p.path, i+1, m[1])
				}
			}
		}
	}
}
