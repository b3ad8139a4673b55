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
	// metricInCode is how the name of a metric stands in the code.
	metricInCode = regexp.MustCompile(`"((?:gotk|image)_[a-z_]+[a-z])"`)
	// metricInDocs is how pages name one: as code, or in a query.
	metricInDocs = regexp.MustCompile(`\b(?:gotk_reconcile|gotk_suspend|image_reflector|image_policy)_[a-z_]+[a-z]`)
	// derived is what Prometheus adds to the name of a histogram.
	derived = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// metricsPage is the page that has to name every metric of this project.
const metricsPage = "docs/metrics.md"

// TestMetrics holds the pages to the code, and one page to all of it.
func TestMetrics(t *testing.T) {
	exist, documented := metricsInCode(t), map[string]bool{}
	for _, p := range pages(t) {
		for i, line := range p.lines {
			for _, name := range metricInDocs.FindAllString(line, -1) {
				if p.path == metricsPage {
					documented[name] = true
				}
				if !exist[name] && !exist[derived.ReplaceAllString(name, "")] {
					t.Errorf("%s:%d names the metric %s, which the controller does not have", p.path, i+1, name)
				}
			}
		}
	}
	if len(exist) < 5 {
		t.Fatalf("the code has only the metrics %v", exist)
	}
	for name := range exist {
		if !documented[name] {
			t.Errorf("%s does not name the metric %s", metricsPage, name)
		}
	}
}

func metricsInCode(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(root(t), "internal"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, m := range metricInCode.FindAllStringSubmatch(string(content), -1) {
			found[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
