// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bufio"
	"compress/gzip"
	"io"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// metricsPath is the path at which controller-runtime serves metrics.
const metricsPath = "/metrics"

// Exporter serves the metrics of the objects together with those of a registry, in the formats of
// promhttp, with less CPU: docs/design/0066-large-logs-and-many-series.md.
type Exporter struct {
	registry  prometheus.Gatherer
	objects   *Objects
	durations *Durations
}

// NewExporter returns an Exporter of the metrics of a registry.
func NewExporter(registry prometheus.Gatherer) *Exporter { return &Exporter{registry: registry} }

// Add adds the metrics of the objects. It must be called before the server starts.
func (e *Exporter) Add(objects *Objects, durations *Durations) {
	e.objects, e.durations = objects, durations
}

// Filter is the FilterProvider of controller-runtime's metrics server.
func (e *Exporter) Filter(*rest.Config, *http.Client) (server.Filter, error) {
	return func(_ logr.Logger, others http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == metricsPath {
				e.ServeHTTP(w, r)
				return
			}
			others.ServeHTTP(w, r)
		}), nil
	}, nil
}

// writer writes samples in a format. Samples of one metric are written one after another.
type writer interface {
	gauge(g *gauge, value float64, labels []string)
	histogram(labels []string, h *histogram)
	// flush writes what is buffered. After the first error, nothing is written.
	flush()
}

// ServeHTTP implements http.Handler. As promhttp does, it ends the response after an error.
func (e *Exporter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	families, err := e.registry.Gather()
	if err != nil {
		http.Error(w, "the metrics can't be gathered: "+err.Error(), http.StatusInternalServerError)
		return
	}
	format := expfmt.Negotiate(r.Header)
	w.Header().Set("Content-Type", string(format))
	var body io.Writer = w
	if acceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		compressed, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // fails only for invalid levels
		defer func() { _ = compressed.Close() }()
		body = compressed
	}
	out := bufio.NewWriterSize(body, 64<<10)
	defer func() { _ = out.Flush() }()
	encoder := expfmt.NewEncoder(out, format)
	for _, family := range families {
		if encoder.Encode(family) != nil {
			return
		}
	}
	var samples writer = &familyWriter{out: encoder}
	if format.FormatType() == expfmt.TypeTextPlain {
		samples = &textWriter{out: out}
	}
	e.objects.each(samples.gauge) //nolint:contextcheck // lists are read from the cache, with a timeout of their own
	e.durations.each(samples.histogram)
	samples.flush()
}

// acceptsGzip reports whether the client accepts a response that is compressed by gzip.
func acceptsGzip(r *http.Request) bool {
	for encoding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.ReplaceAll(encoding, " ", ""), ";")
		if name == "gzip" {
			return strings.Trim(quality, "q=0.") != "" || quality == ""
		}
	}
	return false
}
