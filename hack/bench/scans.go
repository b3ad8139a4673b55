// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// restarts is the number of restarts that are measured: a single time varies by a third.
const restarts = 5

// tableRow is a row of a table.
type tableRow struct {
	name   string
	format string // of the value
	value  float64
}

// scans measures a usual load.
func (s settings) scans(ctx context.Context) error {
	usual := load{pairs: s.repositories, tags: s.tags, kinds: 1, hosts: 1, latency: s.latency, profile: s.profile}
	return s.measureLoad(ctx, usual, map[string]string{
		"cold start, all resolved, with digests": "17.7 s",
		"cold start, status writes a pair":       "14.7",
		"cold start, peak memory":                "200 MiB",
		"unchanged scan, registry requests":      "3.0",
		"unchanged scan, status writes":          "4.0",
		"unchanged scan, events":                 "1.0",
		"unchanged scan, CPU":                    "8 ms",
	})
}

// large measures ten repositories with very many tags.
func (s settings) large(ctx context.Context) error {
	return s.measureLoad(ctx, load{pairs: 10, tags: 100_000, kinds: 1, hosts: 1, latency: s.latency}, map[string]string{
		"cold start, peak memory": "262 MiB",
	})
}

// measureLoad prints the cost of a cold start, of unchanged scans and of a restart.
func (s settings) measureLoad(ctx context.Context, l load, flux map[string]string) error {
	title := fmt.Sprintf("%d repositories × %d tags, %s", l.pairs, l.tags, l.latency)
	return s.compare(title, flux, func(controller string) ([]tableRow, error) {
		var all []tableRow
		l := l
		l.controller = controller
		if l.profile != "" && controller != "" {
			l.profile += ".baseline"
		}
		err := withFixture(ctx, l, 5*time.Minute, func(ctx context.Context, f *fixture) error {
			var err error
			all, err = f.costs(ctx, s.steady)
			return err
		})
		return all, err
	})
}

// compare prints a table of the measurements of the controller, of the baseline if there is
// one, and of Flux's own controller.
func (s settings) compare(title string, flux map[string]string, measure func(controller string) ([]tableRow, error)) error {
	current, err := measure("")
	if err != nil {
		return err
	}
	columns, baseline := "this", []tableRow(nil)
	if s.baseline != "" {
		columns = "this\tbaseline\tratio"
		if baseline, err = measure(s.baseline); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\t%s\tFlux's own\n", title, columns)
	for i, f := range current {
		fmt.Fprintf(table, "%s\t"+f.format, f.name, f.value)
		if baseline != nil {
			fmt.Fprintf(table, "\t"+f.format+"\t%s", baseline[i].value, ratio(f.value, baseline[i].value))
		}
		fmt.Fprintf(table, "\t%s\n", flux[f.name])
	}
	return table.Flush()
}

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

// costs measures a cold start, unchanged scans during a window, and a restart.
func (f *fixture) costs(ctx context.Context, window time.Duration) ([]tableRow, error) {
	cold, err := f.measureColdStart(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Printf("CPU of all programs at the cold start: %s\n", cold.usage)
	size, err := storeSize(f.controller.StoragePath())
	if err != nil {
		return nil, err
	}
	asJSON := 0
	for i := range f.load.pairs {
		tags, _ := json.Marshal(f.registryOf(i).tags(repositoryOf(i))) // strings always encode
		asJSON += len(tags)
	}
	steady, err := f.unchangedScans(ctx, window/4, window)
	if err != nil {
		return nil, err
	}
	if err := f.writeProfile(ctx, window); err != nil {
		return nil, err
	}
	restart, err := f.restart(ctx)
	pairs := float64(f.load.pairs)
	return []tableRow{
		{"cold start, all resolved, with digests", "%.1f s", cold.duration.Seconds()},
		{"cold start, registry requests a pair", "%.2f", cold.requests / pairs},
		{"cold start, status writes a pair", "%.2f", cold.writes / pairs},
		{"cold start, CPU", "%.2f s", cold.cpu},
		{"cold start, peak memory", "%.0f MiB", mebi(cold.peak)},
		{"the store", "%.2f MiB", mebi(size)},
		{"the store, of the tags as JSON", "%.3f", size / float64(asJSON)},
		{fmt.Sprintf("unchanged scans in %s (%d are due)", window, 4*f.load.pairs), "%.0f", steady.scans},
		{"unchanged scan, registry requests", "%.2f", steady.requests / steady.scans},
		{"unchanged scan, status writes", "%.2f", steady.writes / steady.scans},
		{"unchanged scan, events", "%.2f", steady.events / steady.scans},
		{"unchanged scan, CPU", "%.2f ms", 1000 * steady.cpu / steady.scans},
		{"with unchanged scans, peak memory", "%.0f MiB", mebi(steady.peak)},
		{fmt.Sprintf("restart, to the first scan that was due (median of %d)", restarts), "%.2f s", restart},
	}, err
}

// writeProfile writes a CPU profile of a window to the file of the load, if it has one. It is called
// after the measurements, because profiling costs CPU.
func (f *fixture) writeProfile(ctx context.Context, window time.Duration) error {
	if f.load.profile == "" {
		return nil
	}
	profile, err := f.controller.Get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%.0f", window.Seconds()))
	if err != nil {
		return err
	}
	return os.WriteFile(f.load.profile, profile, 0o600)
}

// storeSize returns the size of all files of a store in bytes.
func storeSize(folder string) (float64, error) {
	var size int64
	err := filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if os.IsNotExist(err) { // replaced meanwhile
			return nil
		}
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return float64(size), err
}

// restart restarts the controller several times with the same store, and returns the median of the
// times until its first scan that was due, in seconds.
func (f *fixture) restart(ctx context.Context) (float64, error) {
	if err := f.setInterval(ctx, time.Second); err != nil {
		return 0, err
	}
	var times []float64
	for range restarts {
		took, err := f.restartOnce(ctx)
		if err != nil {
			return 0, err
		}
		times = append(times, took.Seconds())
	}
	return median(times), nil
}

// restartOnce stops the controller until scans are due, starts it, and waits for the first scan.
func (f *fixture) restartOnce(ctx context.Context) (time.Duration, error) {
	if err := f.controller.Stop(); err != nil {
		return 0, err
	}
	if err := wait(ctx, 2*time.Second); err != nil {
		return 0, err
	}
	registry := f.registries[0]
	before, start := registry.lists.Load(), time.Now()
	if err := f.controller.Start(ctx); err != nil {
		return 0, err
	}
	for registry.lists.Load() == before {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// rounds is the number of measurements of each kind.
const rounds = 3

// hangingHost measures how much one hanging registry slows down the others, alternating
// between the controller and the baseline, so that other load affects both.
func (s settings) hangingHost(ctx context.Context) error {
	title := fmt.Sprintf("%d registries, %d repositories: all but those of one registry resolved (median of %d)",
		s.hosts, s.repositories, rounds)
	times := map[string]*[2][]float64{"": {}, s.baseline: {}} // without and with a hanging registry
	for range rounds {
		for controller, measured := range times {
			for i, fault := range []registrytest.Fault{nil, hang} {
				duration, err := s.coldHosts(ctx, controller, fault)
				if err != nil {
					return err
				}
				measured[i] = append(measured[i], duration.Seconds())
			}
		}
	}
	return s.compare(title, nil, func(controller string) ([]tableRow, error) {
		healthy, hanging := median(times[controller][0]), median(times[controller][1])
		return []tableRow{
			{"all healthy", "%.2f s", healthy},
			{"one hangs", "%.2f s", hanging},
			{"hanging to healthy", "%.2f", hanging / healthy},
		}, nil
	})
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// coldHosts starts the controller with a fault in the first registry, nil for none, and
// returns the time until the repositories of all other registries are resolved.
func (s settings) coldHosts(ctx context.Context, controller string, fault registrytest.Fault) (time.Duration, error) {
	var duration time.Duration
	l := load{pairs: s.repositories, tags: s.tags, kinds: 1, hosts: s.hosts, latency: s.latency, controller: controller}
	err := withFixture(ctx, l, 5*time.Minute, func(ctx context.Context, f *fixture) error {
		first := f.registries[0]
		first.setFault(fault)
		start := time.Now()
		if err := f.addController("controller").Start(ctx); err != nil {
			return err
		}
		others := s.repositories - (s.repositories+s.hosts-1)/s.hosts
		var err error
		duration, err = f.await(ctx, others, start, func(policy *v1.ImagePolicy) bool {
			return !strings.HasPrefix(policy.Status.LatestRef.Name, first.host+"/")
		})
		return err
	})
	return duration, err
}
