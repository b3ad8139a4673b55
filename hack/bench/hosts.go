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
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// rounds is how often each way is measured, in turn.
const rounds = 3

// hangs measures how much one registry that hangs slows down the others.
func (s settings) hangs(ctx context.Context) error {
	var well, ill []time.Duration
	for range rounds {
		for _, hanging := range []bool{false, true} {
			took, err := s.coldHosts(ctx, hanging)
			if err != nil {
				return err
			}
			if hanging {
				ill = append(ill, took)
			} else {
				well = append(well, took)
			}
		}
	}
	a, b := median(well), median(ill)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%d registries, %d repositories: those of all but one resolved (median of %d)\t\n", s.hosts, s.repositories, rounds)
	fmt.Fprintf(table, "all are well\t%.2f s\n", a.Seconds())
	fmt.Fprintf(table, "that one hangs\t%.2f s\n", b.Seconds())
	fmt.Fprintf(table, "ratio\t%.2f\n", float64(b)/float64(a))
	return table.Flush()
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

// coldHosts returns the time until the repositories of all registries but the
// first are resolved, of which the first may hang.
func (s settings) coldHosts(ctx context.Context, hanging bool) (time.Duration, error) {
	var took time.Duration
	l := load{pairs: s.repositories, tags: s.tags, kinds: 1, hosts: s.hosts, latency: s.latency}
	err := with(ctx, l, 5*time.Minute, func(ctx context.Context, stand *stand) error {
		ill := stand.registries[0]
		ill.hanging.Store(hanging)
		start := time.Now()
		if err := stand.controller.Start(ctx); err != nil {
			return err
		}
		others := s.repositories - (s.repositories+s.hosts-1)/s.hosts
		var err error
		took, err = stand.await(ctx, others, start, func(policy v1.ImagePolicy) bool {
			return !strings.HasPrefix(policy.Status.LatestRef.Name, ill.host+"/")
		})
		return err
	})
	return took, err
}
