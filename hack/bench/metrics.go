// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
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

// cold is what a cold start took.
type cold struct {
	figures
	took  time.Duration
	usage string // CPU seconds by program
}

// coldStart starts the controller, and waits until all policies are resolved.
func (s *stand) coldStart(ctx context.Context) (cold, error) {
	start, before := time.Now(), cpuByProgram()
	if err := s.controller.Start(ctx); err != nil {
		return cold{}, err
	}
	took, err := s.await(ctx, s.load.pairs, start, func(*v1.ImagePolicy) bool { return true })
	if err != nil {
		return cold{}, err
	}
	f, err := s.read(ctx)
	var used []string
	after := cpuByProgram()
	for _, name := range slices.Sorted(maps.Keys(after)) {
		used = append(used, fmt.Sprintf("%s %.1f s", name, after[name]-before[name]))
	}
	return cold{figures: f, took: took, usage: strings.Join(used, ", ")}, err
}

// steady returns what unchanged scans cost.
func (s *stand) steady(ctx context.Context, interval, window time.Duration) (figures, error) {
	if err := s.setInterval(ctx, interval); err != nil {
		return figures{}, err
	}
	// the scans that the change itself makes are over after one interval
	if err := wait(ctx, interval+interval/2); err != nil {
		return figures{}, err
	}
	return s.during(ctx, window)
}

// during returns what is counted in a time, less the reading of metrics. The peak
// is that of all times.
func (s *stand) during(ctx context.Context, window time.Duration) (figures, error) {
	before, err := s.read(ctx)
	if err != nil {
		return figures{}, err
	}
	if err := wait(ctx, window); err != nil {
		return figures{}, err
	}
	f, err := s.read(ctx)
	f.writes -= before.writes
	f.events -= before.events
	f.cpu -= before.cpu + before.reading
	f.requests -= before.requests
	f.scans -= before.scans
	return f, err
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
		for _, label := range metric.GetLabel() {
			switch label.GetValue() {
			case http.MethodPatch:
				f.writes += metric.GetCounter().GetValue()
			case http.MethodPost:
				f.events += metric.GetCounter().GetValue()
			}
		}
	}
	after, peak := cpuAndPeak(s.controller.PID())
	f.reading, f.peak = after-f.cpu, peak
	return f, err
}

// gauges returns the controller's gauges that have no labels, after a garbage collection.
func (s *stand) gauges(ctx context.Context) (map[string]float64, error) {
	if _, err := s.controller.Get(ctx, "/debug/pprof/heap?gc=1"); err != nil { // it is read for the collection alone
		return nil, err
	}
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
	text, err := s.controller.Get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(text))
}

// cpuByProgram returns the CPU seconds used by this process, which contains the registries, and by
// its children, by the name of the program. It returns none where there is no /proc.
func cpuByProgram() map[string]float64 {
	processes, _ := procfs.AllProcs()
	used := map[string]float64{}
	for _, process := range processes {
		stat, err := process.Stat()
		if err == nil && (stat.PID == os.Getpid() || stat.PPID == os.Getpid()) { // an error: it has ended
			used[stat.Comm] += stat.CPUTime()
		}
	}
	return used
}

// cpuAndPeak returns the CPU seconds that a process has used and its peak memory in bytes, zero
// where it has ended.
func cpuAndPeak(pid int) (float64, float64) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, 0
	}
	stat, _ := process.Stat()
	status, _ := process.NewStatus()
	return stat.CPUTime(), float64(status.VmHWM)
}

func mebi(bytes float64) float64 { return bytes / (1 << 20) }
