// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// Outcomes of scans that succeeded. Those of the others are the reasons of the
// conditions that they lead to.
const (
	// ScanUnchanged is the outcome of a scan that found the tags of the one
	// before.
	ScanUnchanged = "unchanged"
	// ScanChanged is the outcome of a scan that found other tags, or the first.
	ScanChanged = "changed"
)

// scanOutcomes are all outcomes. Any other one counts as v1.FailureReason, so
// that what errors say can't make series without bound.
var scanOutcomes = []string{
	ScanUnchanged, ScanChanged,
	v1.AuthenticationFailedReason, v1.RateLimitedReason, v1.ReadOperationFailedReason,
	meta.FeatureGateDisabledReason, v1.FailureReason,
}

// Scans counts scans, and keeps how long they took, by the host of the registry.
// It is safe for concurrent use.
type Scans struct {
	label   func(image.Name) string
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// NewScans returns a Scans without any, to be registered. label returns what the
// host of an image's registry is called, which must be one of few.
func NewScans(label func(image.Name) string) *Scans {
	return &Scans{
		label: label,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "image_reflector_scans_total",
			Help: "The scans of image repositories by registry host: unchanged, changed, or the reason for which they failed.",
		}, []string{"host", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "image_reflector_scan_duration_seconds",
			Help:    "How long scans took from being let in to their registry until their result was kept, or had failed.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"host"}),
	}
}

// Observe counts a scan of an image repository, and keeps how long it took: not
// at all, as 0, where it was given up before it was let in to its registry. The series of
// a host all begin with its first scan, so that the first failure is seen as an increase.
func (s *Scans) Observe(img image.Name, outcome string, took time.Duration) {
	host := s.label(img)
	counted := s.total.WithLabelValues(host, v1.FailureReason)
	for _, one := range scanOutcomes {
		if series := s.total.WithLabelValues(host, one); one == outcome {
			counted = series
		}
	}
	counted.Inc()
	if seconds := s.seconds.WithLabelValues(host); took > 0 {
		seconds.Observe(took.Seconds())
	}
}

// Describe implements prometheus.Collector.
func (s *Scans) Describe(descs chan<- *prometheus.Desc) {
	s.total.Describe(descs)
	s.seconds.Describe(descs)
}

// Collect implements prometheus.Collector.
func (s *Scans) Collect(into chan<- prometheus.Metric) {
	s.total.Collect(into)
	s.seconds.Collect(into)
}
