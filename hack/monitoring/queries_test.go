// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// libraryMetrics are metrics of libraries that the controller uses.
var libraryMetrics = map[string]bool{
	"controller_runtime_reconcile_total": true,
	"go_memstats_heap_inuse_bytes":       true,
	"process_cpu_seconds_total":          true,
	"process_resident_memory_bytes":      true,
	"process_start_time_seconds":         true,
	"rest_client_requests_total":         true,
	"workqueue_depth":                    true,
}

var (
	// metricInCode matches the name of a metric in the code.
	metricInCode = regexp.MustCompile(`"((?:gotk|image)_[a-z_]+[a-z])"`)
	// histogramSuffix matches the suffixes of series of a histogram.
	histogramSuffix = regexp.MustCompile(`_(bucket|sum|count)$`)
	// labelValues matches the definition of a dashboard variable, with a metric and its label.
	labelValues = regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)
)

// TestQueries_ParseAndNameExistingMetrics parses every query of the alerts and the dashboard, and
// checks that its metrics exist.
func TestQueries_ParseAndNameExistingMetrics(t *testing.T) {
	metrics := metricsInCode(t)
	for _, rule := range alerts(t) {
		checkQuery(t, metrics, rule.Alert, rule.Expr)
	}
	board := readDashboard(t)
	for _, panel := range board.Panels {
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("the panel %q has no query", panel.Title)
		}
		for _, target := range panel.Targets {
			checkQuery(t, metrics, panel.Title, board.expand(target.Expr))
		}
	}
	for _, variable := range board.Templating.List {
		m := labelValues.FindStringSubmatch(variable.Definition)
		if variable.Definition == "" { // not a query
			continue
		}
		if m == nil || !metrics[m[1]] {
			t.Errorf("the variable %s queries %s, whose metric does not exist", variable.Name, variable.Definition)
		}
	}
}

func checkQuery(t *testing.T, metrics map[string]bool, where, query string) {
	t.Helper()
	if strings.Contains(query, "$") {
		t.Errorf("%s: unknown variable: %s", where, query)
	}
	expr, err := newParser().ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v: %s", where, err, query)
		return
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if ok && !metrics[selector.Name] && !metrics[histogramSuffix.ReplaceAllString(selector.Name, "")] && !libraryMetrics[selector.Name] {
			t.Errorf("%s: the controller has no metric %q", where, selector.Name)
		}
		return nil
	})
}

func metricsInCode(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir("../../internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, m := range metricInCode.FindAllStringSubmatch(string(content), -1) {
			found[m[1]] = true
		}
		return err
	})
	if err != nil || len(found) < 5 {
		t.Fatalf("the code has only the metrics %v: %v", found, err)
	}
	return found
}

// TestPanels_DoNotOverlap checks that the panels fit into the grid of 24 columns and don't overlap.
func TestPanels_DoNotOverlap(t *testing.T) {
	ids, cells := map[int]string{}, map[[2]int]string{}
	for _, panel := range readDashboard(t).Panels {
		if other, taken := ids[panel.ID]; taken {
			t.Errorf("%q and %q have the same id", other, panel.Title)
		}
		ids[panel.ID] = panel.Title
		at := panel.GridPos
		if at.H < 1 || at.W < 1 || at.X+at.W > 24 {
			t.Errorf("%q exceeds the grid: %+v", panel.Title, at)
		}
		for x := range at.W {
			for y := range at.H {
				cell := [2]int{at.X + x, at.Y + y}
				if other, taken := cells[cell]; taken {
					t.Fatalf("%q overlaps %q", panel.Title, other)
				}
				cells[cell] = panel.Title
			}
		}
	}
}
