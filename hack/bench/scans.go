/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

	http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"
)

// scans measures a cold start, unchanged scans, and a restart.
func (s settings) scans(ctx context.Context) error {
	l := load{pairs: s.repositories, tags: s.tags, kinds: 1, hosts: 1, latency: s.latency}
	return with(ctx, l, 5*time.Minute, func(ctx context.Context, stand *stand) error {
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		if err := s.measureCold(ctx, stand, table); err != nil {
			return err
		}
		if err := s.measureSteady(ctx, stand, table); err != nil {
			return err
		}
		if err := s.measureRestart(ctx, stand, table); err != nil {
			return err
		}
		return table.Flush()
	})
}

func (s settings) measureCold(ctx context.Context, stand *stand, table *tabwriter.Writer) error {
	got, err := stand.coldStart(ctx)
	if err != nil {
		return err
	}
	pairs := float64(s.repositories)
	fmt.Fprintf(table, "cold start, %d repositories × %d tags, %s\tthis\tFlux's own\n", s.repositories, s.tags, s.latency)
	fmt.Fprintf(table, "all resolved, with digests\t%.1f s\t17.7 s\n", got.took.Seconds())
	fmt.Fprintf(table, "registry requests a pair\t%.1f\t\n", got.requests/pairs)
	fmt.Fprintf(table, "status writes a pair\t%.1f\t14.7\n", got.writes/pairs)
	fmt.Fprintf(table, "CPU\t%.1f s\t\n", got.cpu)
	fmt.Fprintf(table, "peak memory\t%.0f MiB\t200 MiB\n", mebi(got.peak))
	fmt.Fprintf(table, "CPU of all\t%s\t\n", shares(got.usage))
	return stand.measureDisk(table)
}

// measureDisk compares the store with the tags as JSON.
func (s *stand) measureDisk(table *tabwriter.Writer) error {
	info, err := os.Stat(filepath.Join(s.controller.StoragePath(), "tags.db"))
	if err != nil {
		return err
	}
	asJSON := 0
	for i := range s.load.pairs {
		tags, err := json.Marshal(s.registries[i%s.load.hosts].tagsOf(fmt.Sprintf("team/app-%d", i)))
		if err != nil {
			return err
		}
		asJSON += len(tags)
	}
	fmt.Fprintf(table, "the store's file\t%.2f MiB, 1/%.1f of the tags as JSON\t\n\n",
		mebi(float64(info.Size())), float64(asJSON)/float64(info.Size()))
	return nil
}

func (s settings) measureSteady(ctx context.Context, stand *stand, table *tabwriter.Writer) error {
	got, err := stand.steady(ctx, s.steady/4, s.steady)
	if err != nil {
		return err
	}
	due := 4 * s.repositories
	fmt.Fprintf(table, "unchanged scan, of %.0f in %s (%d are due)\t\t\n", got.scans, s.steady, due)
	fmt.Fprintf(table, "registry requests\t%.2f\t3.0\n", got.requests/got.scans)
	fmt.Fprintf(table, "status writes\t%.2f\t4.0\n", got.writes/got.scans)
	fmt.Fprintf(table, "events\t%.2f\t1.0\n", got.events/got.scans)
	fmt.Fprintf(table, "CPU\t%.2f ms\t8 ms\n\n", 1000*got.cpu/got.scans)
	return nil
}

// measureRestart measures the time from the start of a process whose store was
// kept to its first scan, which is due at once.
func (s settings) measureRestart(ctx context.Context, stand *stand, table *tabwriter.Writer) error {
	if err := stand.setInterval(ctx, time.Second); err != nil {
		return err
	}
	if err := stand.controller.Stop(); err != nil {
		return err
	}
	if err := wait(ctx, 2*time.Second); err != nil {
		return err
	}
	registry := stand.registries[0]
	before, start := registry.lists.Load(), time.Now()
	if err := stand.controller.Start(ctx); err != nil {
		return err
	}
	for registry.lists.Load() == before {
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	fmt.Fprintf(table, "restart, to the first scan that was due\t%.1f s\t\n", time.Since(start).Seconds())
	return nil
}

func mebi(bytes float64) float64 { return bytes / (1 << 20) }
