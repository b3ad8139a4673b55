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

// Bench measures the controller as a whole: the real program, on a real
// control plane, with a registry behind token authentication and a network
// that takes its time. It prints tables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// settings say how much is measured.
type settings struct {
	repositories, tags, hosts int
	latency, steady           time.Duration
}

func main() {
	var s settings
	flag.IntVar(&s.repositories, "repositories", 300, "the number of ImageRepositories, each with an ImagePolicy")
	flag.IntVar(&s.tags, "tags", 1000, "the number of tags of each")
	flag.IntVar(&s.hosts, "hosts", 16, "the number of registries of which one hangs")
	flag.DurationVar(&s.latency, "latency", 20*time.Millisecond, "the time that a registry takes to answer")
	flag.DurationVar(&s.steady, "steady", 20*time.Second, "the time for which unchanged scans are measured")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Printf("%s/%s, %d processors, %s\n\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	if err := errors.Join(s.scans(ctx), s.hangs(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// benchTimeout bounds each part.
const benchTimeout = 5 * time.Minute

// scans measures a cold start and unchanged scans.
func (s settings) scans(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, benchTimeout)
	defer cancel()
	dir, remove, err := tempDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	sys, err := startSystem(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.stop()) }()
	registry, err := newSyntheticRegistry(s.tags, s.latency)
	if err != nil {
		return err
	}
	interval := s.steady / 4
	image := func(i int) string { return fmt.Sprintf("%s/team/app-%d", registry.host, i) }
	if err := sys.pairs(ctx, "bench", s.repositories, interval, image); err != nil {
		return err
	}
	return s.measureScans(ctx, sys, registry)
}

func (s settings) measureScans(ctx context.Context, sys *system, registry *syntheticRegistry) error {
	start := time.Now()
	if err := sys.controller.Start(ctx); err != nil {
		return err
	}
	took, err := sys.await(ctx, "bench", s.repositories, start, func(v1.ImagePolicy) bool { return true })
	if err != nil {
		return err
	}
	cold, err := sys.read(registry)
	if err != nil {
		return err
	}
	pairs := float64(s.repositories)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "cold start, %d repositories × %d tags, %s\tthis\tFlux's own\n", s.repositories, s.tags, s.latency)
	fmt.Fprintf(table, "all resolved, with digests\t%.1f s\t17.7 s\n", took.Seconds())
	fmt.Fprintf(table, "registry requests a pair\t%.1f\t\n", cold.requests/pairs)
	fmt.Fprintf(table, "status writes a pair\t%.1f\t14.7\n", cold.writes/pairs)
	fmt.Fprintf(table, "events a pair\t%.1f\t\n", cold.events/pairs)
	fmt.Fprintf(table, "CPU\t%.1f s\t\n", cold.cpu)
	fmt.Fprintf(table, "memory\t%.0f MiB\t\n\n", cold.rss/(1<<20))
	if err := s.measureSteady(ctx, sys, registry, table); err != nil {
		return err
	}
	return table.Flush()
}

func (s settings) measureSteady(ctx context.Context, sys *system, registry *syntheticRegistry, table *tabwriter.Writer) error {
	select { // what the cold start still does is over
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.steady / 4):
	}
	before, err := sys.read(registry)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.steady):
	}
	after, err := sys.read(registry)
	if err != nil {
		return err
	}
	got := after.since(before)
	expected := 4 * float64(s.repositories)
	fmt.Fprintf(table, "unchanged scan, of %.0f in %s at an interval of %s (%.0f are due)\t\t\n", got.scans, s.steady, s.steady/4, expected)
	fmt.Fprintf(table, "registry requests\t%.2f\t3.0\n", got.requests/got.scans)
	fmt.Fprintf(table, "status writes\t%.2f\t4.0\n", got.writes/got.scans)
	fmt.Fprintf(table, "events\t%.2f\t1.0\n", got.events/got.scans)
	fmt.Fprintf(table, "CPU\t%.2f ms\t\n", 1000*got.cpu/got.scans)
	return nil
}
