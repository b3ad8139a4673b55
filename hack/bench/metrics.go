// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// figures are counters of the controller at one time.
type figures struct {
	// writes are status patches, events are posts, both to the API server.
	writes, events float64
	// cpu is in seconds, peak in bytes.
	cpu, peak float64
	// reading is the CPU seconds that it took to tell the metrics.
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
func (s *system) read(ctx context.Context, registries []*syntheticRegistry) (figures, error) {
	f := figures{cpu: cpuOfProcess(s.controller.PID())}
	for _, registry := range registries {
		f.requests += float64(registry.requests.Load())
		f.scans += float64(registry.lists.Load())
	}
	err := s.eachMetric(ctx, f.add)
	f.reading = cpuOfProcess(s.controller.PID()) - f.cpu
	f.peak = peakOf(s.controller.PID())
	return f, err
}

func (f *figures) add(line string) {
	value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
	if err != nil || strings.HasPrefix(line, "#") {
		return
	}
	switch {
	case !strings.HasPrefix(line, "rest_client_requests_total{"):
	case strings.Contains(line, `method="PATCH"`):
		f.writes += value
	case strings.Contains(line, `method="POST"`):
		f.events += value
	}
}

// gauges returns the controller's metrics that have no labels, after a garbage
// collection.
func (s *system) gauges(ctx context.Context) (map[string]float64, error) {
	heap, err := get(ctx, strings.TrimSuffix(s.controller.MetricsURL(), "/metrics")+"/debug/pprof/heap?gc=1")
	if err != nil {
		return nil, err
	}
	_ = heap.Close() // the collection is what it was asked for
	values := map[string]float64{}
	err = s.eachMetric(ctx, func(line string) {
		name, value, found := strings.Cut(line, " ")
		if found && name != "#" && !strings.Contains(name, "{") {
			values[name] = number(value)
		}
	})
	return values, err
}

// eachMetric calls each with every line of the controller's metrics.
func (s *system) eachMetric(ctx context.Context, each func(line string)) error {
	body, err := get(ctx, s.controller.MetricsURL())
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		each(lines.Text())
	}
	return lines.Err()
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
