// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// wantMetrics compares the metrics of a name.
func wantMetrics(t *testing.T, from prometheus.Gatherer, name, want string) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() != name {
				continue
			}
			line := fmt.Sprint(m.GetGauge().GetValue() + m.GetCounter().GetValue())
			for _, label := range m.GetLabel() {
				line = label.GetValue() + " " + line
			}
			got = append(got, line)
		}
	}
	if strings.Join(got, "\n") != want {
		t.Errorf("%s is\n%s\nwant\n%s", name, strings.Join(got, "\n"), want)
	}
}

// TestMetrics opens a store in place of another storage, and a file that is damaged.
func TestMetrics(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, fileName, []byte("damaged"))
	write(t, dir, "MANIFEST", []byte("of another storage"))
	registry := prometheus.NewPedanticRegistry()
	store, _ := opened(t, dir, WithMetrics(registry))
	wantWorks(t, store)
	wantMetrics(t, registry, "image_reflector_store_reports_total",
		"compacted 0\ncompaction_failed 0\nfacts_damaged 0\nfile_damaged 0\nfile_set_aside 1\nleftovers_found 1\nrecord_damaged 0")
	wantMetrics(t, registry, "image_reflector_store_records", "1")
	wantMetrics(t, registry, "image_reflector_store_size_bytes", fmt.Sprint(fileSize(t, dir)))
	if usage, err := store.Usage(); err != nil || usage.Free <= 0 {
		t.Errorf("Usage() = %+v, %v", usage, err)
	} else {
		wantMetrics(t, registry, "image_reflector_store_free_bytes", fmt.Sprint(usage.Free))
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("the metrics have problems: %v, %v", problems, err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wantMetrics(t, registry, "image_reflector_store_size_bytes", "")
}
