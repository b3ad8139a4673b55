// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
)

// tagLists is how many kinds of tag lists there are at scale.
const tagLists = 500

// usualInterval is the interval for which the steady load is told.
const usualInterval = 10 * time.Minute

// size is what was measured with one number of repositories.
type size struct {
	pairs  int
	cold   cold
	steady figures
	window time.Duration
	idle   float64 // CPU seconds a second without scans
}

// share returns which part of a processor the steady load takes at the usual
// interval: as many scans as are due then, and what is used without any.
func (z size) share() float64 {
	scan := (z.steady.cpu - z.idle*z.window.Seconds()) / z.steady.scans
	return z.idle + scan*float64(z.pairs)/usualInterval.Seconds()
}

// scale measures how cost grows with the number of repositories.
func (s settings) scale(ctx context.Context) error {
	var sizes []size
	for _, pairs := range s.sizes {
		l := load{pairs: pairs, tags: s.tags, kinds: tagLists, hosts: s.hosts, latency: s.latency}
		err := with(ctx, l, 20*time.Minute, func(ctx context.Context, stand *stand) error {
			z, err := measureSize(ctx, stand)
			sizes = append(sizes, z)
			fmt.Fprintf(os.Stderr, "%d repositories measured\n", pairs)
			return err
		})
		if err != nil {
			return err
		}
	}
	if s.plot != "" {
		if err := drawSizes(s.plot, sizes); err != nil {
			return err
		}
	}
	return s.printSizes(sizes)
}

func measureSize(ctx context.Context, stand *stand) (size, error) {
	z := size{pairs: stand.load.pairs}
	var err error
	if z.cold, err = stand.coldStart(ctx); err != nil {
		return z, err
	}
	if err := wait(ctx, quiet); err != nil { // events are still being published
		return z, err
	}
	still, err := stand.during(ctx, quiet)
	if err != nil {
		return z, err
	}
	z.idle = still.cpu / quiet.Seconds()
	// 200 scans a second are more than enough to measure one
	interval := max(5*time.Second, time.Duration(z.pairs)*time.Second/200)
	z.window = 2 * interval
	z.steady, err = stand.steady(ctx, interval, z.window)
	return z, err
}

func (s settings) printSizes(sizes []size) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "pairs × %d tags, %d registries\tcold\tCPU\twrites\trequests\tpeak memory\t"+
		"scan: CPU\trequests\twrites\tat %s: CPU\tmetrics: CPU\t\n",
		s.tags, s.hosts, usualInterval)
	for _, z := range sizes {
		n := float64(z.pairs)
		fmt.Fprintf(table, "%d\t%.1f s\t%.1f s\t%.1f a pair\t%.1f a pair\t%.0f MiB\t%.2f ms\t%.2f\t%.2f\t%.1f %%\t%.0f ms\t\n", z.pairs,
			z.cold.took.Seconds(), z.cold.cpu, z.cold.writes/n, z.cold.requests/n, mebi(max(z.cold.peak, z.steady.peak)),
			1000*z.steady.cpu/z.steady.scans, z.steady.requests/z.steady.scans, z.steady.writes/z.steady.scans, 100*z.share(), 1000*z.steady.reading)
	}
	fmt.Fprintf(table, "Flux's own, 10000, 16 workers\t598 s\t200 s\t13.8 a pair\t\t1172 MiB\t\t\t\t25 %%\t\t\n")
	if err := table.Flush(); err != nil {
		return err
	}
	for _, z := range sizes {
		fmt.Printf("cold start of %d: %s of %.0f s that %d processors had; the rate limits of the registries alone take %.0f s\n",
			z.pairs, shares(z.cold.usage), float64(runtime.NumCPU())*z.cold.took.Seconds(), runtime.NumCPU(), s.limitedTime(z))
	}
	return nil
}

// limitedTime is the time in seconds that the requests of a cold start need at least, by the
// default rate limit of a registry host.
func (s settings) limitedTime(z size) float64 {
	limits := ratelimit.DefaultConfig()
	each := z.cold.requests / float64(s.hosts)
	return max(0, each-float64(limits.Burst)) / limits.PerSecond
}
