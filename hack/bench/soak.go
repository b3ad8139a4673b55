// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"golang.org/x/sync/errgroup"
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
	// soakGated is the number of policies with platforms and minimumAge, soakSigned that of those
	// which also require a signature.
	soakGated, soakSigned = 40, 10
	// soakAge is the minimum age. It is longer than the time between two pushes of a repository, so
	// that candidates are pending most of the time.
	soakAge = 20 * time.Second
	// watchDelay is how long a status may take to be received by the watch, at most.
	watchDelay = 5 * time.Second
	// changeInterval is the time between two changes of tags.
	changeInterval = 100 * time.Millisecond
	// faultTime is how long a fault is set, and how long there is none afterwards.
	faultTime = 10 * time.Second
	// recoveryTimeout bounds the time until all policies are resolved after the last fault.
	recoveryTimeout = 2 * time.Minute
)

// disturbances of one shard happen one after the other, each not before the fraction at of the
// duration. They end early, so that the last process of each shard is sampled for long.
var disturbances = []struct {
	at     float64
	name   string
	shard  int
	happen func(*shard, context.Context) error
}{
	{0.03, "copy the store while stopped", 0, (*shard).copyStore},
	{0.06, "kill the leader, whose store the other replica shares", 0, (*shard).killLeader},
	{0.12, "lose the store", 0, (*shard).loseStore},
	{0.15, "restore the older copy of the store", 0, (*shard).restoreStore},
	{0.18, "stop the leader", 0, (*shard).stopLeader},

	{0.03, "kill the leader, whose store the other replica lacks", 1, (*shard).killLeader},
	{0.06, "copy the stores while stopped", 1, (*shard).copyStore},
	{0.09, "kill the leader again, so that one with an older store takes over", 1, (*shard).killLeader},
	{0.15, "restore the older copies of the stores", 1, (*shard).restoreStore},
	{0.18, "lose the stores", 1, (*shard).loseStore},
}

// soakTest is one run of the part soak.
type soakTest struct {
	*observer
	duration         time.Duration
	start            time.Time
	shards           []*shard
	changes, samples int
	faults           int
	disturbed        atomic.Int64
}

// soak runs two shards with two replicas each while tags change, registries fail, and processes
// and stores are lost. It returns an error if a result is wrong or doubled, if a process leaks, or
// if it does not recover.
func (s settings) soak(ctx context.Context) error {
	l := load{
		pairs: soakPairs, tags: 1, kinds: 1, hosts: soakHosts, latency: s.latency,
		gated: soakGated, signed: soakSigned, minimumAge: soakAge, sharded: true,
	}
	return withFixture(ctx, l, s.duration+10*time.Minute, func(ctx context.Context, f *fixture) error {
		t := &soakTest{observer: newObserver(f), duration: s.duration}
		defer t.receiver.Close()
		for _, registry := range f.registries {
			registry.churn()
		}
		if err := t.begin(ctx); err != nil {
			return err
		}
		if err := t.observe(ctx); err != nil {
			return errors.Join(err, t.failure())
		}
		return t.report()
	})
}

// observe checks every status until the policies have recovered after the run.
func (t *soakTest) observe(ctx context.Context) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	group, running := errgroup.WithContext(watching) // canceled if the watch fails
	group.Go(func() error { return t.watch(watching) })
	err := t.run(running)
	if err == nil {
		err = t.awaitRecovery(running)
	}
	// A status is written before its event is sent, so the watch receives it soon after the last event.
	t.receiver.Close()
	err = errors.Join(err, wait(running, watchDelay))
	stop()
	err = errors.Join(err, group.Wait())
	t.checkEvents()
	return err
}

// begin starts all replicas, and waits until all policies are resolved.
func (t *soakTest) begin(ctx context.Context) error {
	for _, config := range shardConfigs {
		s := newShard(t.fixture, config)
		for _, replica := range s.replicas {
			replica.Args = append(replica.Args, "--events-addr="+t.receiver.URL)
		}
		t.shards = append(t.shards, s)
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	if _, err := t.await(ctx, soakPairs, time.Now(), func(*v1.ImagePolicy) bool { return true }); err != nil {
		return err
	}
	return t.setInterval(ctx, soakInterval)
}

// run changes tags, sets and clears faults, disturbs the shards, and takes samples, all
// concurrently.
func (t *soakTest) run(ctx context.Context) error {
	t.start = time.Now()
	random := func(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(1, seed)) } //nolint:gosec // reproducible
	changes, faults := random(2), random(3)
	ctx, cancel := context.WithTimeout(ctx, t.duration)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	every := func(interval time.Duration, do func() error) {
		group.Go(func() error {
			ticker := time.NewTicker(interval)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-ticker.C:
				}
				if err := do(); err != nil {
					return cancelled(ctx, err)
				}
			}
		})
	}
	every(changeInterval, func() error { t.change(changes); return nil })
	every(faultTime, func() error { t.toggleFault(faults); return nil })
	every(soakSample, func() error { return t.sample(ctx) })
	for i := range t.shards {
		group.Go(func() error { return cancelled(ctx, t.disturb(ctx, i)) })
	}
	return group.Wait()
}

func (t *soakTest) change(random *rand.Rand) {
	i := random.IntN(soakPairs)
	t.registryOf(i).change(repositoryOf(i), random)
	t.changes++
}

// toggleFault clears the fault if there is one, and otherwise sets the next one in a random
// registry.
func (t *soakTest) toggleFault(random *rand.Rand) {
	t.faults++
	if t.faults%2 == 0 {
		t.clearFaults()
		return
	}
	t.registries[random.IntN(soakHosts)].setFault(faults[(t.faults/2)%len(faults)])
}

func (t *soakTest) clearFaults() {
	for _, registry := range t.registries {
		registry.setFault(nil)
	}
}

// disturb carries out the disturbances of a shard.
func (t *soakTest) disturb(ctx context.Context, shard int) error {
	s := t.shards[shard]
	for _, d := range disturbances {
		if d.shard != shard {
			continue
		}
		if err := wait(ctx, time.Until(t.start.Add(time.Duration(d.at*float64(t.duration))))); err != nil {
			return err
		}
		s.disturbed.Lock()
		start := time.Now()
		err := d.happen(s, ctx)
		s.disturbed.Unlock()
		if err != nil {
			return fmt.Errorf("shard %s, %s: %w", s.name, d.name, err)
		}
		t.disturbed.Add(1)
		fmt.Printf("%5.0f s, shard %s: %s (%.0f s)\n", start.Sub(t.start).Seconds(), s.name, d.name, time.Since(start).Seconds())
	}
	return nil
}

// sample takes a sample of the leader of each shard that is not disturbed.
func (t *soakTest) sample(ctx context.Context) error {
	for _, s := range t.shards {
		if !s.disturbed.TryLock() {
			continue
		}
		err := s.sample(ctx, time.Since(t.start))
		s.disturbed.Unlock()
		if err != nil {
			return err
		}
	}
	t.samples++
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
	t.fail(outdated...)
	fmt.Printf("%d of %d policies have the newest tag that their gates allow, and its digest, %.0f s after the last fault\n",
		soakPairs-len(outdated), soakPairs, time.Since(start).Seconds())
	return t.checkLogs(ctx)
}

// outdated describes the policies that don't have the newest tag that their gates allow, with its
// digest.
func (t *soakTest) outdated(ctx context.Context) ([]string, error) {
	policies := &v1.ImagePolicyList{}
	if err := t.api.List(ctx, policies, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	var outdated []string
	for _, policy := range policies.Items {
		pair, err := pairOf(&policy)
		if err != nil {
			return nil, err
		}
		want, ref := t.newest(pair), policy.Status.LatestRef
		if ref == nil || ref.Tag != want || ref.Digest != t.registryOf(pair).digestOf(repositoryOf(pair), want) ||
			!apimeta.IsStatusConditionTrue(policy.Status.Conditions, meta.ReadyCondition) {
			outdated = append(outdated, fmt.Sprintf("%s has %v, want %s", policy.Name, ref, want))
		}
	}
	return outdated, nil
}

// newest returns the tag that the policy of a pair should select.
func (f *fixture) newest(pair int) string {
	registry, name := f.registryOf(pair), repositoryOf(pair)
	for _, tag := range slices.Backward(registry.tags(name)) {
		if f.load.gates(pair).forbidden(tag, registry.createdAt(name, tag), time.Now()) == "" {
			return tag
		}
	}
	return ""
}

// checkLogs waits for idleTime, in which no error may be logged, and checks the whole logs for
// unexpected errors.
func (t *soakTest) checkLogs(ctx context.Context) error {
	before, err := t.logs()
	if err != nil {
		return err
	}
	if err := wait(ctx, idleTime); err != nil {
		return err
	}
	after, err := t.logs()
	if err != nil {
		return err
	}
	if found := strings.Count(after, "\tERROR\t") - strings.Count(before, "\tERROR\t"); found > 0 {
		t.fail(fmt.Sprintf("%d errors in the logs although no registry fails", found))
	}
	t.fail(unexpectedErrors(after)...)
	for _, s := range t.shards {
		if err := s.exited(); err != nil {
			return err
		}
	}
	return nil
}

// logs returns the logs of all replicas.
func (t *soakTest) logs() (string, error) {
	var all strings.Builder
	for _, controller := range t.all {
		text, err := os.ReadFile(controller.LogFile())
		if err != nil {
			return "", err
		}
		all.Write(text)
	}
	return all.String(), nil
}

// report prints the results, and returns the problems as an error.
func (t *soakTest) report() error {
	requests := int64(0)
	for _, registry := range t.registries {
		requests += registry.requests.Load()
	}
	fmt.Printf("%s with %d pairs, of which %d with gates, in %d shards with %d replicas each: %d changes of tags, %d faults, "+
		"%d disturbances, %d requests to registries, %d statuses with %d selections, %d events about them, %d samples\n\n",
		t.duration, soakPairs, soakGated, len(t.shards), replicasPerShard, t.changes, (t.faults+1)/2,
		t.disturbed.Load(), requests, t.statuses, sum(t.selections), sum(t.events), t.samples)
	if happened := int(t.disturbed.Load()); happened < len(disturbances) {
		t.fail(fmt.Sprintf("%d of %d disturbances happened: the run is too short", happened, len(disturbances)))
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "floor of the leader's\tfirst third\tlast third\tbound\tslope per hour\tbound")
	for _, s := range t.shards {
		t.fail(s.printGrowth(table, t.duration/2)...)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if err := t.failure(); err != nil {
		return err
	}
	fmt.Println("\nnothing leaks, no result is wrong or doubled, and there are no other problems")
	return nil
}
