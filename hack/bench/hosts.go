// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// rounds is how often each way is measured, in turn.
const rounds = 3

// hangs measures how much one registry that hangs slows down the others: with the
// controller, and in turn with the baseline, if there is one.
func (s settings) hangs(ctx context.Context) error {
	controllers := []string{""}
	if s.baseline != "" {
		controllers = append(controllers, s.baseline)
	}
	took := map[string]map[bool][]time.Duration{"": {}, s.baseline: {}}
	for range rounds {
		for _, controller := range controllers {
			for _, hanging := range []bool{false, true} {
				t, err := s.coldHosts(ctx, controller, hanging)
				if err != nil {
					return err
				}
				took[controller][hanging] = append(took[controller][hanging], t)
			}
		}
	}
	figures := func(controller string) []figure {
		well, ill := median(took[controller][false]).Seconds(), median(took[controller][true]).Seconds()
		return []figure{
			{"all are well", "%.2f s", well},
			{"that one hangs", "%.2f s", ill},
			{"hanging to well", "%.2f", ill / well},
		}
	}
	var baseline []figure
	if s.baseline != "" {
		baseline = figures(s.baseline)
	}
	title := fmt.Sprintf("%d registries, %d repositories: those of all but one resolved (median of %d)", s.hosts, s.repositories, rounds)
	return printFigures(title, figures(""), baseline, nil)
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

// coldHosts returns the time until the repositories of all registries but the
// first are resolved, of which the first may hang.
func (s settings) coldHosts(ctx context.Context, controller string, hanging bool) (time.Duration, error) {
	var took time.Duration
	l := load{pairs: s.repositories, tags: s.tags, kinds: 1, hosts: s.hosts, latency: s.latency, controller: controller}
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
