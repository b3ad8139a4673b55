// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"
)

// scans measures the usual load.
func (s settings) scans(ctx context.Context) error {
	return s.compare(ctx, load{pairs: s.repositories, tags: s.tags, kinds: 1, hosts: 1, latency: s.latency}, map[string]string{
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
	return s.compare(ctx, load{pairs: 10, tags: 100_000, kinds: 1, hosts: 1, latency: s.latency}, map[string]string{
		"cold start, peak memory": "262 MiB",
	})
}

// figure is a line of a table.
type figure struct {
	name   string
	format string // of the value
	value  float64
}

// compare prints what a load costs the controller, and beside it the baseline, if there is one,
// and Flux's own controller.
func (s settings) compare(ctx context.Context, l load, flux map[string]string) error {
	this, note, err := s.measure(ctx, l)
	if err != nil {
		return err
	}
	var baseline []figure
	if s.baseline != "" {
		l.controller = s.baseline
		if baseline, _, err = s.measure(ctx, l); err != nil {
			return err
		}
	}
	fmt.Printf("CPU of all at the cold start: %s\n", note)
	return printFigures(fmt.Sprintf("%d repositories × %d tags, %s", l.pairs, l.tags, l.latency), this, baseline, flux)
}

// printFigures prints figures, and the ratio to a baseline if there is one.
func printFigures(title string, this, baseline []figure, flux map[string]string) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	columns := "this"
	if baseline != nil {
		columns = "this\tbaseline\tratio"
	}
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

// measure measures a cold start, unchanged scans and a restart. Beside the figures it returns the
// CPU time of all programs at the cold start.
func (s settings) measure(ctx context.Context, l load) ([]figure, string, error) {
	var all []figure
	var note string
	err := with(ctx, l, 5*time.Minute, func(ctx context.Context, stand *stand) error {
		cold, err := stand.coldStart(ctx)
		if err != nil {
			return err
		}
		disk, err := stand.disk()
		if err != nil {
			return err
		}
		steady, err := stand.steady(ctx, s.steady/4, s.steady)
		if err != nil {
			return err
		}
		restart, err := stand.restart(ctx)
		note = shares(cold.usage)
		all = append(append(cold.table(float64(l.pairs)), disk...), steady.table(s.steady, 4*l.pairs)...)
		all = append(all, figure{"restart, to the first scan that was due", "%.2f s", restart.Seconds()})
		return err
	})
	return all, note, err
}

func (c cold) table(pairs float64) []figure {
	return []figure{
		{"cold start, all resolved, with digests", "%.1f s", c.took.Seconds()},
		{"cold start, registry requests a pair", "%.2f", c.requests / pairs},
		{"cold start, status writes a pair", "%.2f", c.writes / pairs},
		{"cold start, CPU", "%.2f s", c.cpu},
		{"cold start, peak memory", "%.0f MiB", mebi(c.peak)},
	}
}

func (f figures) table(window time.Duration, due int) []figure {
	return []figure{
		{fmt.Sprintf("unchanged scans in %s (%d are due)", window, due), "%.0f", f.scans},
		{"unchanged scan, registry requests", "%.2f", f.requests / f.scans},
		{"unchanged scan, status writes", "%.2f", f.writes / f.scans},
		{"unchanged scan, events", "%.2f", f.events / f.scans},
		{"unchanged scan, CPU", "%.2f ms", 1000 * f.cpu / f.scans},
		{"with unchanged scans, peak memory", "%.0f MiB", mebi(f.peak)},
	}
}

// disk returns the size of the store, alone and beside the tags as JSON.
func (s *stand) disk() ([]figure, error) {
	size, err := s.storeSize()
	if err != nil {
		return nil, err
	}
	asJSON := 0
	for i := range s.load.pairs {
		tags, err := json.Marshal(s.registries[i%s.load.hosts].tagsOf(fmt.Sprintf("team/app-%d", i)))
		if err != nil {
			return nil, err
		}
		asJSON += len(tags)
	}
	return []figure{
		{"the store", "%.2f MiB", mebi(size)},
		{"the store, of the tags as JSON", "%.3f", size / float64(asJSON)},
	}, nil
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

func mebi(bytes float64) float64 { return bytes / (1 << 20) }
