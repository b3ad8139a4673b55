// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// Outcomes of successful scans. The outcome of a failed scan is the reason of its condition.
const (
	// ScanUnchanged is the outcome of a scan that found the same tags as the previous one.
	ScanUnchanged = "unchanged"
	// ScanChanged is the outcome of a first scan, or one that found other tags.
	ScanChanged = "changed"
)

// scanOutcomes are all values of the label outcome. Others are counted as v1.FailureReason, so that
// the number of series is bounded.
var scanOutcomes = []string{
	ScanUnchanged, ScanChanged,
	v1.AuthenticationFailedReason, v1.RateLimitedReason, v1.ReadOperationFailedReason,
	meta.FeatureGateDisabledReason, v1.FailureReason,
}

// Scans counts scans and their durations by registry host. It is safe for concurrent use.
type Scans struct {
	label   func(image.Name) string
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// NewScans returns an empty Scans, which the caller registers. label returns the value of the label
// host for an image, which must have a bounded number of values.
func NewScans(label func(image.Name) string) *Scans {
	return &Scans{
		label: label,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "image_reflector_scans_total",
			Help: "The scans of image repositories by registry host: unchanged, changed, or the reason for which they failed.",
		}, []string{"host", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "image_reflector_scan_duration_seconds",
			Help:    "How long scans took, from the ticket of the rate limiter until their result was stored or they failed.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"host"}),
	}
}

// Observe counts a scan of an image repository and its duration, which is 0 if it failed before the
// rate limiter granted a ticket. All series of a host are created by its first scan, so that the
// first failure is an increase.
func (s *Scans) Observe(img image.Name, outcome string, duration time.Duration) {
	host := s.label(img)
	counted := s.total.WithLabelValues(host, v1.FailureReason)
	for _, known := range scanOutcomes {
		if series := s.total.WithLabelValues(host, known); known == outcome {
			counted = series
		}
	}
	counted.Inc()
	if seconds := s.seconds.WithLabelValues(host); duration > 0 {
		seconds.Observe(duration.Seconds())
	}
}

// Describe implements prometheus.Collector.
func (s *Scans) Describe(descs chan<- *prometheus.Desc) {
	s.total.Describe(descs)
	s.seconds.Describe(descs)
}

// Collect implements prometheus.Collector.
func (s *Scans) Collect(out chan<- prometheus.Metric) {
	s.total.Collect(out)
	s.seconds.Collect(out)
}
