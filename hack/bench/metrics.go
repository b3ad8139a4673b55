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
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// counters are the counters of the controller at one time, or their increase.
type counters struct {
	// writes counts status patches, events counts posts, both to the API server.
	writes, events float64
	// cpu is in seconds, peak memory in bytes.
	cpu, peak float64
	// scrape is the CPU time of reading the metrics, in seconds.
	scrape float64
	// requests counts requests to the registries, scans those for a list of tags.
	requests, scans float64
}

// coldStart is the cost of a cold start.
type coldStart struct {
	counters
	duration time.Duration
	usage    string // CPU seconds by program
}

// measureColdStart starts the controller and waits until all policies are resolved.
func (f *fixture) measureColdStart(ctx context.Context) (coldStart, error) {
	f.controller = f.addController("controller")
	start, before := time.Now(), cpuByProgram()
	if err := f.controller.Start(ctx); err != nil {
		return coldStart{}, err
	}
	duration, err := f.await(ctx, f.load.pairs, start, func(*v1.ImagePolicy) bool { return true })
	if err != nil {
		return coldStart{}, err
	}
	after := cpuByProgram()
	total, err := f.read(ctx)
	var used []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		used = append(used, fmt.Sprintf("%s %.1f s", name, after[name]-before[name]))
	}
	return coldStart{counters: total, duration: duration, usage: strings.Join(used, ", ")}, err
}

// unchangedScans returns the cost of unchanged scans.
func (f *fixture) unchangedScans(ctx context.Context, interval, window time.Duration) (counters, error) {
	if err := f.setInterval(ctx, interval); err != nil {
		return counters{}, err
	}
	// the scans caused by the change itself end within one interval
	if err := wait(ctx, interval+interval/2); err != nil {
		return counters{}, err
	}
	return f.measure(ctx, window)
}

// measure returns the increase of the counters during a window, without the cost of reading
// them. The peak is that of the process so far.
func (f *fixture) measure(ctx context.Context, window time.Duration) (counters, error) {
	before, err := f.read(ctx)
	if err != nil {
		return counters{}, err
	}
	if err := wait(ctx, window); err != nil {
		return counters{}, err
	}
	increase, err := f.read(ctx)
	increase.writes -= before.writes
	increase.events -= before.events
	increase.cpu -= before.cpu + before.scrape
	increase.requests -= before.requests
	increase.scans -= before.scans
	return increase, err
}

// read returns the counters of the controller and of the registries.
func (f *fixture) read(ctx context.Context) (counters, error) {
	var total counters
	for _, registry := range f.registries {
		total.requests += float64(registry.requests.Load())
		total.scans += float64(registry.lists.Load())
	}
	total.cpu, _ = cpuAndPeak(f.controller.PID())
	text, err := f.controller.Get(ctx, "/metrics")
	if err != nil {
		return total, err
	}
	after, peak := cpuAndPeak(f.controller.PID()) // before parsing, during which the controller may scan
	total.scrape, total.peak = after-total.cpu, peak
	families, err := parseMetrics(text)
	for _, metric := range families["rest_client_requests_total"].GetMetric() {
		for _, label := range metric.GetLabel() {
			switch label.GetValue() {
			case http.MethodPatch:
				total.writes += metric.GetCounter().GetValue()
			case http.MethodPost:
				total.events += metric.GetCounter().GetValue()
			}
		}
	}
	return total, err
}

// gauges returns the gauges of a controller that have no labels, after a garbage collection.
func gauges(ctx context.Context, controller *testenv.Controller) (map[string]float64, error) {
	if _, err := controller.Get(ctx, "/debug/pprof/heap?gc=1"); err != nil { // only to collect garbage
		return nil, err
	}
	families, err := families(ctx, controller)
	values := map[string]float64{}
	for name, family := range families {
		if family.GetType() == dto.MetricType_GAUGE && len(family.GetMetric()[0].GetLabel()) == 0 {
			values[name] = family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return values, err
}

// leads reports whether a controller leads, by the metric of controller-runtime.
func leads(ctx context.Context, controller *testenv.Controller) (bool, error) {
	families, err := families(ctx, controller)
	leads := false
	for _, metric := range families["leader_election_master_status"].GetMetric() {
		leads = leads || metric.GetGauge().GetValue() == 1
	}
	return leads, err
}

// families returns the metrics of a controller by name.
func families(ctx context.Context, controller *testenv.Controller) (map[string]*dto.MetricFamily, error) {
	text, err := controller.Get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(text)
}

func parseMetrics(text []byte) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(text))
}

// cpuByProgram returns, by program name, the CPU seconds used by this process, which contains
// the registries, and by its children. It is empty if there is no /proc.
func cpuByProgram() map[string]float64 {
	processes, _ := procfs.AllProcs()
	used := map[string]float64{}
	for _, process := range processes {
		stat, err := process.Stat()
		if err == nil && (stat.PID == os.Getpid() || stat.PPID == os.Getpid()) { // err: the process has ended
			used[stat.Comm] += stat.CPUTime()
		}
	}
	return used
}

// cpuAndPeak returns the CPU seconds that a process has used and its peak memory in bytes, zero
// if it has ended.
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
