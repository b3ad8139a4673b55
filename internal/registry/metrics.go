// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
)

const (
	// maxHostLabels bounds the values of the host label, because users choose hosts.
	maxHostLabels = 100
	// otherHosts is the label of all other hosts.
	otherHosts = "other"
)

// metrics are the metrics of a Client.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	waits     *prometheus.HistogramVec
	inFlight  *prometheus.GaugeVec
	paused    *prometheus.GaugeVec
	fallbacks *prometheus.CounterVec

	mu    sync.Mutex
	hosts map[string]bool
}

// newMetrics returns unregistered metrics.
func newMetrics() *metrics {
	host := []string{"host"}
	return &metrics{
		hosts: map[string]bool{},
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "image_reflector_registry_requests_total",
			Help: "The requests made on behalf of a registry host, by the HTTP status of the response, or canceled, timeout or error.",
		}, []string{"host", "outcome"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "image_reflector_registry_request_duration_seconds",
			Help:    "The time until the headers of a response.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 10, 30},
		}, host),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "image_reflector_registry_wait_seconds",
			Help:    "The time for which operations on a registry host were deferred because its limits were exhausted.",
			Buckets: []float64{.01, .05, .25, 1, 5, 15, 30},
		}, host),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "image_reflector_registry_in_flight",
			Help: "The operations on a registry host that are in flight.",
		}, host),
		paused: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "image_reflector_registry_throttled_until_timestamp_seconds",
			Help: "The Unix time until which a registry host asked for a pause.",
		}, host),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "image_reflector_registry_mirror_fallbacks_total",
			Help: "The operations for which the next host was tried because a mirror, which is the host, " +
				"did not have the content (not_found) or failed: refused (401 or 403), throttled (429, or another response with Retry-After), " +
				"timeout (no response within its share of spec.timeout), or error (everything else, such as 500 or a refused connection).",
		}, []string{"host", "reason"}),
	}
}

// label returns the label of a host, otherHosts beyond maxHostLabels.
func (m *metrics) label(host string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hosts[host] {
		return host
	}
	if len(m.hosts) >= maxHostLabels {
		return otherHosts
	}
	m.hosts[host] = true
	return host
}

func (m *metrics) observeRequest(host, outcome string, duration time.Duration) {
	host = m.label(host)
	m.requests.WithLabelValues(host, outcome).Inc()
	m.durations.WithLabelValues(host).Observe(duration.Seconds())
}

// observer returns the observer of the limiters.
func (m *metrics) observer() *ratelimit.Observer {
	return &ratelimit.Observer{
		Waited: func(host string, wait time.Duration) {
			m.waits.WithLabelValues(m.label(host)).Observe(wait.Seconds())
		},
		InFlight: func(host string, change int) {
			m.inFlight.WithLabelValues(m.label(host)).Add(float64(change))
		},
		PausedUntil: func(host string, until time.Time) {
			m.paused.WithLabelValues(m.label(host)).Set(float64(until.UnixMilli()) / 1000)
		},
	}
}
