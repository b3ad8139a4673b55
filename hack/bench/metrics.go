// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// figures are counters of the controller at one time.
type figures struct {
	// writes are status patches, events are posts, both to the API server.
	writes, events float64
	// cpu is in seconds, peak in bytes.
	cpu, peak float64
	// reading is the CPU seconds that the reading of the metrics took.
	reading float64
	// requests to the registry, and those of them that are scans.
	requests, scans float64
}

// since returns what was counted since before, less the reading of metrics. The
// peak is that of all times.
func (f figures) since(before figures) figures {
	return figures{
		writes: f.writes - before.writes, events: f.events - before.events, cpu: f.cpu - before.cpu - before.reading,
		scans: f.scans - before.scans, requests: f.requests - before.requests, peak: f.peak, reading: f.reading,
	}
}

// read reads the controller's metrics.
func (s *stand) read(ctx context.Context) (figures, error) {
	var f figures
	for _, registry := range s.registries {
		f.requests += float64(registry.requests.Load())
		f.scans += float64(registry.lists.Load())
	}
	f.cpu, _ = cpuAndPeak(s.controller.PID())
	families, err := s.families(ctx)
	for _, metric := range families["rest_client_requests_total"].GetMetric() {
		switch methodOf(metric) {
		case http.MethodPatch:
			f.writes += metric.GetCounter().GetValue()
		case http.MethodPost:
			f.events += metric.GetCounter().GetValue()
		}
	}
	after, peak := cpuAndPeak(s.controller.PID())
	f.reading, f.peak = after-f.cpu, peak
	return f, err
}

func methodOf(metric *dto.Metric) string {
	for _, label := range metric.GetLabel() {
		if label.GetName() == "method" {
			return label.GetValue()
		}
	}
	return ""
}

// gauges returns the controller's gauges that have no labels, after a garbage collection.
func (s *stand) gauges(ctx context.Context) (map[string]float64, error) {
	heap, err := get(ctx, strings.TrimSuffix(s.controller.MetricsURL(), "/metrics")+"/debug/pprof/heap?gc=1")
	if err != nil {
		return nil, err
	}
	_ = heap.Close() // it is read for the collection alone
	families, err := s.families(ctx)
	values := map[string]float64{}
	for name, family := range families {
		if family.GetType() == dto.MetricType_GAUGE && len(family.GetMetric()[0].GetLabel()) == 0 {
			values[name] = family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return values, err
}

// families reads the controller's metrics.
func (s *stand) families(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	body, err := get(ctx, s.controller.MetricsURL())
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(body)
}

func get(ctx context.Context, url string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return response.Body, nil
}
