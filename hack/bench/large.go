// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"
)

// Ten repositories that have more tags than most ever get.
const (
	largeRepositories = 10
	largeTags         = 100_000
)

// large measures repositories with very many tags.
func (s settings) large(ctx context.Context) error {
	l := load{pairs: largeRepositories, tags: largeTags, kinds: 1, hosts: 1, latency: s.latency}
	return with(ctx, l, 5*time.Minute, func(ctx context.Context, stand *stand) error {
		first, err := stand.coldStart(ctx)
		if err != nil {
			return err
		}
		again, err := stand.steady(ctx, s.steady/4, s.steady)
		if err != nil {
			return err
		}
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintf(table, "%d repositories × %d tags\tthis\tFlux's own\n", l.pairs, l.tags)
		fmt.Fprintf(table, "cold start: all resolved, with digests\t%.1f s\t\n", first.took.Seconds())
		fmt.Fprintf(table, "cold start: peak memory\t%.0f MiB\t262 MiB\n", mebi(first.peak))
		fmt.Fprintf(table, "with %.0f unchanged scans after it: peak memory\t%.0f MiB\t\n", again.scans, mebi(again.peak))
		fmt.Fprintf(table, "CPU of an unchanged scan\t%.1f ms\t\n", 1000*again.cpu/again.scans)
		return table.Flush()
	})
}
