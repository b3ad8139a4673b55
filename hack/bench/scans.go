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

// figure is a line of the table of scans.
type figure struct {
	name   string
	format string // of the value
	value  float64
	flux   string // what Flux's own controller takes, "" if that is not known
}

// scans measures a cold start, unchanged scans, and a restart: of the controller,
// and beside it of the baseline, if there is one.
func (s settings) scans(ctx context.Context) error {
	this, note, err := s.measureScans(ctx, "")
	if err != nil {
		return err
	}
	var baseline []figure
	if s.baseline != "" {
		if baseline, _, err = s.measureScans(ctx, s.baseline); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	printFigures(table, fmt.Sprintf("%d repositories × %d tags, %s", s.repositories, s.tags, s.latency), this, baseline)
	fmt.Fprintf(table, "CPU of all at the cold start\t%s\t\n", note)
	return table.Flush()
}

// printFigures prints figures, and the ratio to a baseline if there is one.
func printFigures(table *tabwriter.Writer, title string, this, baseline []figure) {
	if baseline == nil {
		fmt.Fprintf(table, "%s\tthis\tFlux's own\n", title)
	} else {
		fmt.Fprintf(table, "%s\tthis\tbaseline\tratio\tFlux's own\n", title)
	}
	for i, f := range this {
		line := fmt.Sprintf("%s\t"+f.format, f.name, f.value)
		if baseline != nil {
			b := baseline[i].value
			line += fmt.Sprintf("\t"+f.format+"\t%s", b, ratio(f.value, b))
		}
		fmt.Fprintf(table, "%s\t%s\n", line, f.flux)
	}
}

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", a/b)
}

// measureScans measures one controller, the one that was built if none is named.
// Beside the figures it returns the CPU time of all programs at the cold start.
func (s settings) measureScans(ctx context.Context, controller string) ([]figure, string, error) {
	var all []figure
	var note string
	l := load{pairs: s.repositories, tags: s.tags, kinds: 1, hosts: 1, latency: s.latency, controller: controller}
	err := with(ctx, l, 5*time.Minute, func(ctx context.Context, stand *stand) error {
		cold, usage, err := s.measureCold(ctx, stand)
		if err != nil {
			return err
		}
		steady, err := s.measureSteady(ctx, stand)
		if err != nil {
			return err
		}
		restart, err := s.measureRestart(ctx, stand)
		all, note = append(append(cold, steady...), restart), usage
		return err
	})
	return all, note, err
}

func (s settings) measureCold(ctx context.Context, stand *stand) ([]figure, string, error) {
	got, err := stand.coldStart(ctx)
	if err != nil {
		return nil, "", err
	}
	disk, asJSON, err := stand.disk()
	if err != nil {
		return nil, "", err
	}
	pairs := float64(s.repositories)
	return []figure{
		{"cold start, all resolved, with digests", "%.1f s", got.took.Seconds(), "17.7 s"},
		{"cold start, registry requests a pair", "%.2f", got.requests / pairs, ""},
		{"cold start, status writes a pair", "%.2f", got.writes / pairs, "14.7"},
		{"cold start, CPU", "%.2f s", got.cpu, ""},
		{"cold start, peak memory", "%.0f MiB", mebi(got.peak), "200 MiB"},
		{"the store's files", "%.2f MiB", mebi(disk), ""},
		{"the store's files, of the tags as JSON", "%.3f", disk / asJSON, ""},
	}, shares(got.usage), nil
}

// disk returns the bytes of the store, and those of the tags as JSON.
func (s *stand) disk() (float64, float64, error) {
	stored := int64(0)
	err := filepath.WalkDir(s.controller.StoragePath(), func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			stored += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	asJSON := 0
	for i := range s.load.pairs {
		tags, err := json.Marshal(s.registries[i%s.load.hosts].tagsOf(fmt.Sprintf("team/app-%d", i)))
		if err != nil {
			return 0, 0, err
		}
		asJSON += len(tags)
	}
	return float64(stored), float64(asJSON), nil
}

func (s settings) measureSteady(ctx context.Context, stand *stand) ([]figure, error) {
	got, err := stand.steady(ctx, s.steady/4, s.steady)
	if err != nil {
		return nil, err
	}
	return []figure{
		{fmt.Sprintf("unchanged scans in %s (%d are due)", s.steady, 4*s.repositories), "%.0f", got.scans, ""},
		{"unchanged scan, registry requests", "%.2f", got.requests / got.scans, "3.0"},
		{"unchanged scan, status writes", "%.2f", got.writes / got.scans, "4.0"},
		{"unchanged scan, events", "%.2f", got.events / got.scans, "1.0"},
		{"unchanged scan, CPU", "%.2f ms", 1000 * got.cpu / got.scans, "8 ms"},
	}, nil
}

// measureRestart measures the time from the start of a process whose store was
// kept to its first scan, which is due at once.
func (s settings) measureRestart(ctx context.Context, stand *stand) (figure, error) {
	if err := stand.setInterval(ctx, time.Second); err != nil {
		return figure{}, err
	}
	if err := stand.controller.Stop(); err != nil {
		return figure{}, err
	}
	if err := wait(ctx, 2*time.Second); err != nil {
		return figure{}, err
	}
	registry := stand.registries[0]
	before, start := registry.lists.Load(), time.Now()
	if err := stand.controller.Start(ctx); err != nil {
		return figure{}, err
	}
	for registry.lists.Load() == before {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return figure{}, err
		}
	}
	return figure{"restart, to the first scan that was due", "%.2f s", time.Since(start).Seconds(), ""}, nil
}

func mebi(bytes float64) float64 { return bytes / (1 << 20) }
