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

// figure is a line of a table.
type figure struct {
	name   string
	format string // of the value
	value  float64
}

// scans measures the usual load.
func (s settings) scans(ctx context.Context) error {
	return s.measureLoad(ctx, load{pairs: s.repositories, tags: s.tags, kinds: 1, hosts: 1, latency: s.latency}, map[string]string{
		"cold start, all resolved, with digests": "17.7 s",
		"cold start, status writes a pair":       "14.7",
		"cold start, peak memory":                "200 MiB",
		"unchanged scan, registry requests":      "3.0",
		"unchanged scan, status writes":          "4.0",
		"unchanged scan, events":                 "1.0",
		"unchanged scan, CPU":                    "8 ms",
	})
}

// large measures ten repositories that have more tags than most ever get.
func (s settings) large(ctx context.Context) error {
	return s.measureLoad(ctx, load{pairs: 10, tags: 100_000, kinds: 1, hosts: 1, latency: s.latency}, map[string]string{
		"cold start, peak memory": "262 MiB",
	})
}

// measureLoad prints what a load costs at a cold start, with unchanged scans and at a restart.
func (s settings) measureLoad(ctx context.Context, l load, flux map[string]string) error {
	title := fmt.Sprintf("%d repositories × %d tags, %s", l.pairs, l.tags, l.latency)
	return s.compare(title, flux, func(controller string) ([]figure, error) {
		var all []figure
		l.controller = controller
		err := with(ctx, l, 5*time.Minute, func(ctx context.Context, stand *stand) error {
			var err error
			all, err = stand.costs(ctx, s.steady)
			return err
		})
		return all, err
	})
}

// compare prints what is measured with the controller, and beside it the baseline, if there
// is one, and Flux's own controller.
func (s settings) compare(title string, flux map[string]string, measure func(controller string) ([]figure, error)) error {
	this, err := measure("")
	if err != nil {
		return err
	}
	columns, baseline := "this", []figure(nil)
	if s.baseline != "" {
		columns = "this\tbaseline\tratio"
		if baseline, err = measure(s.baseline); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\t%s\tFlux's own\n", title, columns)
	for i, f := range this {
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

// costs measures a cold start, unchanged scans for a time, and a restart.
func (s *stand) costs(ctx context.Context, window time.Duration) ([]figure, error) {
	cold, err := s.coldStart(ctx)
	if err != nil {
		return nil, err
	}
	fmt.Printf("CPU of all at the cold start: %s\n", cold.usage)
	size, err := s.storeSize()
	if err != nil {
		return nil, err
	}
	asJSON := 0
	for i := range s.load.pairs {
		tags, _ := json.Marshal(s.registryOf(i).tags(repositoryOf(i))) // strings always encode
		asJSON += len(tags)
	}
	steady, err := s.steady(ctx, window/4, window)
	if err != nil {
		return nil, err
	}
	restart, err := s.restart(ctx)
	pairs := float64(s.load.pairs)
	return []figure{
		{"cold start, all resolved, with digests", "%.1f s", cold.took.Seconds()},
		{"cold start, registry requests a pair", "%.2f", cold.requests / pairs},
		{"cold start, status writes a pair", "%.2f", cold.writes / pairs},
		{"cold start, CPU", "%.2f s", cold.cpu},
		{"cold start, peak memory", "%.0f MiB", mebi(cold.peak)},
		{"the store", "%.2f MiB", mebi(size)},
		{"the store, of the tags as JSON", "%.3f", size / float64(asJSON)},
		{fmt.Sprintf("unchanged scans in %s (%d are due)", window, 4*s.load.pairs), "%.0f", steady.scans},
		{"unchanged scan, registry requests", "%.2f", steady.requests / steady.scans},
		{"unchanged scan, status writes", "%.2f", steady.writes / steady.scans},
		{"unchanged scan, events", "%.2f", steady.events / steady.scans},
		{"unchanged scan, CPU", "%.2f ms", 1000 * steady.cpu / steady.scans},
		{"with unchanged scans, peak memory", "%.0f MiB", mebi(steady.peak)},
		{"restart, to the first scan that was due", "%.2f s", restart.Seconds()},
	}, err
}

// storeSize returns the bytes of all files of the store.
func (s *stand) storeSize() (float64, error) {
	var size int64
	err := filepath.WalkDir(s.controller.StoragePath(), func(_ string, entry fs.DirEntry, err error) error {
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

// restart returns the time from the start of a process whose store was kept to its first scan,
// which is due at once.
func (s *stand) restart(ctx context.Context) (time.Duration, error) {
	if err := s.setInterval(ctx, time.Second); err != nil {
		return 0, err
	}
	if err := s.controller.Stop(); err != nil {
		return 0, err
	}
	if err := wait(ctx, 2*time.Second); err != nil {
		return 0, err
	}
	registry := s.registries[0]
	before, start := registry.lists.Load(), time.Now()
	if err := s.controller.Start(ctx); err != nil {
		return 0, err
	}
	for registry.lists.Load() == before {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// rounds is how often each way is measured, in turn.
const rounds = 3

// oneHangs measures how much one registry that hangs slows down the others: with the controller
// and with the baseline, if there is one, in turn, so that both meet the same other load.
func (s settings) oneHangs(ctx context.Context) error {
	title := fmt.Sprintf("%d registries, %d repositories: those of all but one resolved (median of %d)", s.hosts, s.repositories, rounds)
	times := map[string]*[2][]float64{"": {}, s.baseline: {}} // when all are well, and when one hangs
	for range rounds {
		for controller, measured := range times {
			for i, ill := range []registrytest.Fault{nil, hang} {
				took, err := s.coldHosts(ctx, controller, ill)
				if err != nil {
					return err
				}
				measured[i] = append(measured[i], took.Seconds())
			}
		}
	}
	return s.compare(title, nil, func(controller string) ([]figure, error) {
		well, ill := median(times[controller][0]), median(times[controller][1])
		return []figure{
			{"all are well", "%.2f s", well},
			{"that one hangs", "%.2f s", ill},
			{"hanging to well", "%.2f", ill / well},
		}, nil
	})
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// coldHosts returns the time until the repositories of all registries but the
// first are resolved, of which the first may have a fault.
func (s settings) coldHosts(ctx context.Context, controller string, fault registrytest.Fault) (time.Duration, error) {
	var took time.Duration
	l := load{pairs: s.repositories, tags: s.tags, kinds: 1, hosts: s.hosts, latency: s.latency, controller: controller}
	err := with(ctx, l, 5*time.Minute, func(ctx context.Context, stand *stand) error {
		first := stand.registries[0]
		first.suffer(fault)
		start := time.Now()
		if err := stand.controller.Start(ctx); err != nil {
			return err
		}
		others := s.repositories - (s.repositories+s.hosts-1)/s.hosts
		var err error
		took, err = stand.await(ctx, others, start, func(policy *v1.ImagePolicy) bool {
			return !strings.HasPrefix(policy.Status.LatestRef.Name, first.host+"/")
		})
		return err
	})
	return took, err
}
