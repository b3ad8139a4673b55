// SPDX-License-Identifier: Apache-2.0

// Package metrics exports metrics about reconciles, scans and objects. Their names are those of
// Flux, if Flux has the same metric.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// Durations is a histogram of the duration of reconciles per object. It is safe for concurrent use.
type Durations struct{ *prometheus.HistogramVec }

// NewDurations returns an empty Durations, which the caller registers.
func NewDurations() *Durations {
	return &Durations{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gotk_reconcile_duration_seconds",
		Help:    "How long the reconciles of an object took, counted by the process that made them.",
		Buckets: prometheus.ExponentialBucketsRange(0.01, 1800, 10), // those of Flux
	}, []string{"kind", "name", "namespace"})}
}

// Observe records the duration of one reconcile.
func (d *Durations) Observe(kind string, object types.NamespacedName, duration time.Duration) {
	d.WithLabelValues(kind, object.Name, object.Namespace).Observe(duration.Seconds())
}

// Forget removes the metrics of an object.
func (d *Durations) Forget(kind string, object types.NamespacedName) {
	d.DeleteLabelValues(kind, object.Name, object.Namespace)
}
