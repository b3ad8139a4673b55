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
	// faultTime is how long a fault is set, and how long there is none afterwards.
	faultTime = 10 * time.Second
	// recoveryTimeout bounds the time until all policies are resolved after the last fault.
	recoveryTimeout = 2 * time.Minute
)

// soakTest is one run of the part soak.
type soakTest struct {
	*fixture
	random                   *rand.Rand
	series                   []series // of the current process
	problems                 []string
	changes, faults, samples int
}

// soak runs the controller while tags change and registries fail, and restarts it twice. It
// returns an error if the controller leaks or does not recover.
func (s settings) soak(ctx context.Context) error {
	l := load{pairs: soakPairs, tags: 1, kinds: 1, hosts: soakHosts, latency: s.latency}
	return withFixture(ctx, l, s.duration+10*time.Minute, func(ctx context.Context, f *fixture) error {
		t := &soakTest{fixture: f, random: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // reproducible
		t.resetSeries()
		for _, registry := range f.registries {
			registry.churn()
		}
		f.controller.Args = append(f.controller.Args, "--max-retry-delay=10s")
		if _, err := f.measureColdStart(ctx); err != nil {
			return err
		}
		if err := f.setInterval(ctx, soakInterval); err != nil {
			return err
		}
		if err := t.run(ctx, s.duration); err != nil {
			return err
		}
		if err := t.awaitRecovery(ctx); err != nil {
			return err
		}
		return t.report(s.duration)
	})
}

// resetSeries discards the samples, for a new process.
func (t *soakTest) resetSeries() {
	t.series = []series{
		{name: "goroutines", gauge: "go_goroutines", fraction: 0.10, amount: 20},
		{name: "open files and sockets", gauge: "process_open_fds", fraction: 0.10, amount: 15},
		{name: "resident memory", gauge: "process_resident_memory_bytes", unit: "MiB", fraction: 0.20, amount: 16},
		// client-go's recorder caches the last 4096 events, which takes minutes to fill
		{name: "heap in use after a collection", gauge: "go_memstats_heap_inuse_bytes", unit: "MiB", fraction: 0.15, amount: 8},
		{name: "the store", gauge: storeGauge, unit: "MiB", fraction: 0.25, amount: 1},
	}
}

// storeGauge is the key of the size of the store among the gauges.
const storeGauge = "store"

// run changes tags, sets and clears faults, restarts the controller and takes samples. The
// restarts are early, so that the last process is sampled for long.
func (t *soakTest) run(ctx context.Context, duration time.Duration) error {
	start := time.Now()
	change, fault, sample := time.NewTicker(100*time.Millisecond), time.NewTicker(faultTime), time.NewTicker(soakSample)
	defer change.Stop()
	defer fault.Stop()
	defer sample.Stop()
	stop, kill, end := time.After(duration/10), time.After(duration/5), time.After(duration)
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-change.C:
			t.change()
		case <-fault.C:
			t.toggleFault()
		case <-sample.C:
			err = t.sample(ctx)
		case <-stop:
			err = t.restart(ctx, t.controller.Stop)
		case <-kill:
			err = t.restart(ctx, t.controller.Kill)
		case <-t.controller.Done():
			err = fmt.Errorf("the controller exited after %s: %w", time.Since(start), t.controller.Exit())
		case <-end:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *soakTest) change() {
	i := t.random.IntN(soakPairs)
	t.registryOf(i).change(repositoryOf(i), t.random)
	t.changes++
}

// toggleFault clears the fault if there is one, and otherwise sets the next one in a random
// registry.
func (t *soakTest) toggleFault() {
	t.faults++
	if t.faults%2 == 0 {
		t.clearFaults()
		return
	}
	t.registries[t.random.IntN(soakHosts)].setFault(faults[(t.faults/2)%len(faults)])
}

func (t *soakTest) clearFaults() {
	for _, registry := range t.registries {
		registry.setFault(nil)
	}
}

func (t *soakTest) restart(ctx context.Context, stop func() error) error {
	if err := stop(); err != nil {
		return err
	}
	t.resetSeries()
	return t.controller.Start(ctx)
}

// sample takes a sample of the process, and checks that no policy has a digest that its tag
// never had.
func (t *soakTest) sample(ctx context.Context) error {
	gauges, err := t.gauges(ctx)
	if err != nil {
		return err
	}
	size, err := t.storeSize()
	if err != nil {
		return err
	}
	gauges[storeGauge] = size
	t.samples++
	for i, s := range t.series {
		value := gauges[s.gauge]
		if s.unit == "MiB" {
			value = mebi(value)
		}
		t.series[i].values = append(s.values, value)
	}
	return t.eachPolicy(ctx, func(policy *v1.ImagePolicy, pair int) {
		if ref := policy.Status.LatestRef; ref == nil || ref.Digest != digestOf(repositoryOf(pair), ref.Tag) {
			t.problems = append(t.problems, fmt.Sprintf("%s has the ref %v, whose digest is wrong", policy.Name, ref))
		}
	})
}

// eachPolicy calls check for each policy, with the number of its pair.
func (t *soakTest) eachPolicy(ctx context.Context, check func(policy *v1.ImagePolicy, pair int)) error {
	policies := &v1.ImagePolicyList{}
	if err := t.api.List(ctx, policies, client.InNamespace(namespace)); err != nil {
		return err
	}
	for i := range policies.Items {
		var pair int
		if _, err := fmt.Sscanf(policies.Items[i].Name, "app-%d", &pair); err != nil {
			return err
		}
		check(&policies.Items[i], pair)
	}
	return nil
}

// awaitRecovery clears the faults, waits until every policy has the newest tag, and then
// checks the log.
func (t *soakTest) awaitRecovery(ctx context.Context) error {
	t.clearFaults()
	start := time.Now()
	var outdated []string
	err := poll.PollUntilContextTimeout(ctx, time.Second, recoveryTimeout, true, func(ctx context.Context) (bool, error) {
		var err error
		outdated, err = t.outdated(ctx)
		return len(outdated) == 0, err
	})
	if err != nil && len(outdated) == 0 {
		return err
	}
	t.problems = append(t.problems, outdated...)
	fmt.Printf("%d of %d policies have the newest tag and its digest %.0f s after the last fault\n",
		soakPairs-len(outdated), soakPairs, time.Since(start).Seconds())
	return t.checkLog(ctx)
}

// outdated describes the policies that don't have the newest tag with its digest.
func (t *soakTest) outdated(ctx context.Context) ([]string, error) {
	var outdated []string
	err := t.eachPolicy(ctx, func(policy *v1.ImagePolicy, pair int) {
		want, ref := t.registryOf(pair).newest(repositoryOf(pair)), policy.Status.LatestRef
		if ref == nil || ref.Tag != want || ref.Digest != digestOf(repositoryOf(pair), want) ||
			!apimeta.IsStatusConditionTrue(policy.Status.Conditions, meta.ReadyCondition) {
			outdated = append(outdated, fmt.Sprintf("%s has %v, want %s", policy.Name, ref, want))
		}
	})
	return outdated, err
}

// checkLog waits for idleTime, in which no error may be logged, and checks the whole log for
// unexpected errors.
func (t *soakTest) checkLog(ctx context.Context) error {
	before, err := os.ReadFile(t.controller.LogFile())
	if err != nil {
		return err
	}
	select {
	case <-t.controller.Done():
		return fmt.Errorf("the controller exited: %w", t.controller.Exit())
	case <-time.After(idleTime):
	}
	after, err := os.ReadFile(t.controller.LogFile())
	if err != nil {
		return err
	}
	if found := strings.Count(string(after[len(before):]), "\tERROR\t"); found > 0 {
		t.problems = append(t.problems, fmt.Sprintf("%d errors in the log although no registry fails", found))
	}
	t.problems = append(t.problems, unexpectedErrors(string(after))...)
	return ctx.Err()
}

// report prints the results, and returns the problems as an error.
func (t *soakTest) report(duration time.Duration) error {
	requests := int64(0)
	for _, registry := range t.registries {
		requests += registry.requests.Load()
	}
	fmt.Printf("%s with %d pairs, %d changes of tags, %d faults, %d requests to registries, 2 restarts, %d samples\n\n",
		duration, soakPairs, t.changes, (t.faults+1)/2, requests, t.samples)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "floor of\tthe first third\tthe last third\tbound")
	for _, s := range t.series {
		first, last, bound, err := s.evaluate()
		if err != nil {
			t.problems = append(t.problems, err.Error())
		}
		fmt.Fprintf(table, "%s\t%.1f %s\t%.1f %s\t%.1f %s\n", s.name, first, s.unit, last, s.unit, bound, s.unit)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(t.problems) > 0 {
		return errors.New(strings.Join(t.problems, "\n"))
	}
	fmt.Println("\nnothing leaks, and there are no problems")
	return nil
}
