// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	poll "k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

const (
	soakPairs    = 100
	soakHosts    = 4
	soakInterval = 5 * time.Second
	soakSample   = 5 * time.Second
	// faultTime is for how long a fault is on, and then off.
	faultTime = 10 * time.Second
	// healTime bounds the time from the end of all faults until all is well.
	healTime = 2 * time.Minute
)

// soaking is a run that goes on for a while.
type soaking struct {
	*stand
	random                   *rand.Rand
	series                   []series // of the process that was started last
	wrong                    []string
	changes, faults, samples int
}

// soak runs the controller under changing tags and registries that fail, starts
// it again twice, and fails where anything grows or is wrong in the end.
func (s settings) soak(ctx context.Context) error {
	l := load{pairs: soakPairs, tags: 1, kinds: 1, hosts: soakHosts, latency: s.latency}
	return with(ctx, l, s.duration+10*time.Minute, func(ctx context.Context, stand *stand) error {
		k := &soaking{stand: stand, random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // the same each time
		k.resetSeries()
		for _, registry := range stand.registries {
			registry.churn()
		}
		stand.controller.Args = append(stand.controller.Args, "--max-retry-delay=10s")
		if _, err := stand.coldStart(ctx); err != nil {
			return err
		}
		if err := stand.setInterval(ctx, soakInterval); err != nil {
			return err
		}
		if err := k.run(ctx, s.duration); err != nil {
			return err
		}
		if err := k.heal(ctx); err != nil {
			return err
		}
		return k.report(s.duration)
	})
}

// resetSeries begins the samples of a new process, with the bounds of growth.
func (k *soaking) resetSeries() {
	k.series = []series{
		{name: "goroutines", gauge: "go_goroutines", part: 0.10, amount: 20},
		{name: "open files and sockets", gauge: "process_open_fds", part: 0.10, amount: 15},
		{name: "resident memory", gauge: "process_resident_memory_bytes", unit: "MiB", part: 0.20, amount: 16},
		// client-go's recorder remembers the last 4096 events, which takes minutes to fill up
		{name: "heap in use after a collection", gauge: "go_memstats_heap_inuse_bytes", unit: "MiB", part: 0.15, amount: 8},
		{name: "the store", gauge: storeGauge, unit: "MiB", part: 0.25, amount: 1},
	}
}

// storeGauge is the name of the size of the store among the gauges.
const storeGauge = "store"

// run changes tags, switches faults on and off, restarts the controller and takes
// samples. The restarts are early, so that one process is looked at for long.
func (k *soaking) run(ctx context.Context, duration time.Duration) error {
	start := time.Now()
	change, trouble, sample := time.NewTicker(100*time.Millisecond), time.NewTicker(faultTime), time.NewTicker(soakSample)
	defer change.Stop()
	defer trouble.Stop()
	defer sample.Stop()
	stop, kill, end := time.After(duration/10), time.After(duration/5), time.After(duration)
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-change.C:
			k.change()
		case <-trouble.C:
			k.trouble()
		case <-sample.C:
			err = k.sample(ctx)
		case <-stop:
			err = k.restart(ctx, k.controller.Stop)
		case <-kill:
			err = k.restart(ctx, k.controller.Kill)
		case <-k.controller.Done():
			err = fmt.Errorf("the controller ended by itself after %s: %w", time.Since(start), k.controller.Exit())
		case <-end:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (k *soaking) change() {
	i := k.random.IntN(soakPairs)
	k.registryOf(i).change(repositoryOf(i), k.random)
	k.changes++
}

// trouble ends the fault of the registry that has one, or else has one fail.
func (k *soaking) trouble() {
	k.faults++
	if k.faults%2 == 0 {
		k.calm()
		return
	}
	k.registries[k.random.IntN(soakHosts)].suffer(faults[(k.faults/2)%len(faults)])
}

// calm ends all faults.
func (k *soaking) calm() {
	for _, registry := range k.registries {
		registry.suffer(nil)
	}
}

func (k *soaking) restart(ctx context.Context, end func() error) error {
	if err := end(); err != nil {
		return err
	}
	k.resetSeries()
	return k.controller.Start(ctx)
}

// sample takes a sample of the process, and looks whether any policy says what
// never was so.
func (k *soaking) sample(ctx context.Context) error {
	gauges, err := k.gauges(ctx)
	if err != nil {
		return err
	}
	size, err := k.storeSize()
	if err != nil {
		return err
	}
	gauges[storeGauge] = size
	k.samples++
	for i, s := range k.series {
		value := gauges[s.gauge]
		if s.unit == "MiB" {
			value = mebi(value)
		}
		k.series[i].values = append(s.values, value)
	}
	return k.eachPolicy(ctx, func(policy *v1.ImagePolicy, pair int) {
		if ref := policy.Status.LatestRef; ref == nil || ref.Digest != digestOf(repositoryOf(pair), ref.Tag) {
			k.wrong = append(k.wrong, fmt.Sprintf("%s has the ref %v, whose digest is another", policy.Name, ref))
		}
	})
}

// eachPolicy calls look for each policy, with the number of its pair.
func (k *soaking) eachPolicy(ctx context.Context, look func(policy *v1.ImagePolicy, pair int)) error {
	policies := &v1.ImagePolicyList{}
	if err := k.api.List(ctx, policies, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range policies.Items {
		var pair int
		if _, err := fmt.Sscanf(policies.Items[i].Name, "app-%d", &pair); err != nil {
			return err
		}
		look(&policies.Items[i], pair)
	}
	return nil
}

// heal ends the faults, waits until every policy has the newest tag, and then
// wants to hear of no error for a while.
func (k *soaking) heal(ctx context.Context) error {
	k.calm()
	start := time.Now()
	var late []string
	err := poll.PollUntilContextTimeout(ctx, time.Second, healTime, true, func(ctx context.Context) (bool, error) {
		var err error
		late, err = k.late(ctx)
		return len(late) == 0, err
	})
	if err != nil && len(late) == 0 {
		return err
	}
	k.wrong = append(k.wrong, late...)
	fmt.Printf("%d of %d policies have the newest tag and its digest %.0f s after the last fault\n",
		soakPairs-len(late), soakPairs, time.Since(start).Seconds())
	return k.listen(ctx)
}

// late returns the policies that don't have the newest tag with its digest.
func (k *soaking) late(ctx context.Context) ([]string, error) {
	var late []string
	err := k.eachPolicy(ctx, func(policy *v1.ImagePolicy, pair int) {
		want, ref := k.registryOf(pair).newest(repositoryOf(pair)), policy.Status.LatestRef
		if ref == nil || ref.Tag != want || ref.Digest != digestOf(repositoryOf(pair), want) ||
			!apimeta.IsStatusConditionTrue(policy.Status.Conditions, meta.ReadyCondition) {
			late = append(late, fmt.Sprintf("%s has %v, and should have %s", policy.Name, ref, want))
		}
	})
	return late, err
}

// listen looks for errors in the log, and for any at all in the time that comes.
func (k *soaking) listen(ctx context.Context) error {
	before, err := os.ReadFile(k.controller.LogFile())
	if err != nil {
		return err
	}
	select {
	case <-k.controller.Done():
		return fmt.Errorf("the controller ended by itself: %w", k.controller.Exit())
	case <-time.After(quiet):
	}
	after, err := os.ReadFile(k.controller.LogFile())
	if err != nil {
		return err
	}
	if found := strings.Count(string(after[len(before):]), "\tERROR\t"); found > 0 {
		k.wrong = append(k.wrong, fmt.Sprintf("%d errors in the log although all is well", found))
	}
	k.wrong = append(k.wrong, judgeLog(string(after))...)
	return ctx.Err()
}

// report prints the figures, and returns what is wrong as an error.
func (k *soaking) report(duration time.Duration) error {
	requests := int64(0)
	for _, registry := range k.registries {
		requests += registry.requests.Load()
	}
	fmt.Printf("%s with %d pairs, %d changes of tags, %d faults, %d requests to registries, 2 restarts, %d samples\n\n",
		duration, soakPairs, k.changes, (k.faults+1)/2, requests, k.samples)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "floor of\tthe first third\tthe last third\tmay be")
	for _, s := range k.series {
		first, last, bound, err := s.judge()
		if err != nil {
			k.wrong = append(k.wrong, err.Error())
		}
		fmt.Fprintf(table, "%s\t%.1f %s\t%.1f %s\t%.1f %s\n", s.name, first, s.unit, last, s.unit, bound, s.unit)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(k.wrong) > 0 {
		return errors.New(strings.Join(k.wrong, "\n"))
	}
	fmt.Println("\nnothing grows, nothing is wrong")
	return nil
}
