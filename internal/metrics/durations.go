// SPDX-License-Identifier: Apache-2.0

// Package metrics exports metrics about reconciles, scans and objects. Their names are those of
// Flux, if Flux has the same metric.
package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

const (
	durationsName = "gotk_reconcile_duration_seconds"
	durationsHelp = "How long the reconciles of an object took, counted by the process that made them."
	durationSteps = 10
)

var (
	durationsDesc   = prometheus.NewDesc(durationsName, durationsHelp, allKinds, nil)
	durationBuckets = prometheus.ExponentialBucketsRange(0.01, 1800, durationSteps) // those of Flux
)

// Durations is a histogram of the duration of reconciles per object. An Exporter serves it, so it must
// not be registered: it is a collector only for tests and docs/metrics.md. It is safe for concurrent
// use. A prometheus.HistogramVec would use eight times as much memory (docs/design/0066).
type Durations struct {
	mu      sync.Mutex
	objects map[durationsKey]*histogram
}

type durationsKey struct {
	kind string
	types.NamespacedName
}

// histogram holds the durations of the reconciles of an object.
type histogram struct {
	counts [durationSteps + 1]uint64 // by bucket; the last one has no upper bound
	sum    float64                   // in seconds
}

// NewDurations returns an empty Durations.
func NewDurations() *Durations { return &Durations{objects: map[durationsKey]*histogram{}} }

// Observe records the duration of one reconcile.
func (d *Durations) Observe(kind string, object types.NamespacedName, duration time.Duration) {
	seconds := duration.Seconds()
	bucket, _ := slices.BinarySearch(durationBuckets, seconds)
	d.mu.Lock()
	defer d.mu.Unlock()
	h, found := d.objects[durationsKey{kind, object}]
	if !found {
		h = &histogram{}
		d.objects[durationsKey{kind, object}] = h
	}
	h.counts[bucket]++
	h.sum += seconds
}

// Forget removes the metrics of an object.
func (d *Durations) Forget(kind string, object types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.objects, durationsKey{kind, object})
}

// Describe implements prometheus.Collector.
func (d *Durations) Describe(descs chan<- *prometheus.Desc) { descs <- durationsDesc }

// Collect implements prometheus.Collector.
func (d *Durations) Collect(out chan<- prometheus.Metric) {
	d.each(func(labels []string, h *histogram) { out <- h.metric(labels) })
}

func (h *histogram) metric(labels []string) prometheus.Metric {
	buckets, count := map[float64]uint64{}, uint64(0)
	for i, bound := range durationBuckets {
		count += h.counts[i]
		buckets[bound] = count
	}
	metric, err := prometheus.NewConstHistogram(durationsDesc, count+h.counts[durationSteps], h.sum, buckets, labels...)
	if err != nil {
		return prometheus.NewInvalidMetric(durationsDesc, err)
	}
	return metric
}

// each calls use with the labels and a copy of each histogram. No lock is held meanwhile, because
// use may wait for a client.
func (d *Durations) each(use func(labels []string, h *histogram)) {
	type entry struct {
		durationsKey
		histogram
	}
	d.mu.Lock()
	entries := make([]entry, 0, len(d.objects))
	for key, h := range d.objects {
		entries = append(entries, entry{key, *h})
	}
	d.mu.Unlock()
	labels := make([]string, len(allKinds))
	for i := range entries {
		labels[0], labels[1], labels[2] = entries[i].kind, entries[i].Name, entries[i].Namespace
		use(labels, &entries[i].histogram)
	}
}
