// SPDX-License-Identifier: Apache-2.0

// Package metrics tells of reconciles and of the objects that are reconciled,
// under the names that Flux uses where it has one.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// Durations keeps how long the reconciles of each object took. It is safe for
// concurrent use.
type Durations struct{ *prometheus.HistogramVec }

// NewDurations returns an empty Durations, to be registered.
func NewDurations() *Durations {
	return &Durations{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gotk_reconcile_duration_seconds",
		Help:    "How long the reconciles of an object took, counted by the process that made them.",
		Buckets: prometheus.ExponentialBucketsRange(0.01, 1800, 10), // those of Flux
	}, []string{"kind", "name", "namespace"})}
}

// Observe adds a reconcile of an object.
func (d *Durations) Observe(kind string, object types.NamespacedName, took time.Duration) {
	d.WithLabelValues(kind, object.Name, object.Namespace).Observe(took.Seconds())
}

// Forget drops what is kept of an object.
func (d *Durations) Forget(kind string, object types.NamespacedName) {
	d.DeleteLabelValues(kind, object.Name, object.Namespace)
}
