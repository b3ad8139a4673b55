// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// leaderElectionFlags are the flags of replicas with leader election, with shorter times than the
// defaults.
var leaderElectionFlags = []string{
	"--enable-leader-election",
	"--leader-election-lease-duration=3s",
	"--leader-election-renew-deadline=2s",
	"--leader-election-retry-period=500ms",
}

// replicas starts n replicas of a controller.
func (f *fixture) replicas(n int, flags ...string) []*recordedController {
	f.t.Helper()
	var started []*recordedController
	for range n {
		started = append(started, f.start(f.replica(append(leaderElectionFlags, flags...)...)))
	}
	return started
}

// leader waits until one of the replicas leads, and returns it and another replica.
func (f *fixture) leader(replicas []*recordedController) (leader, other *recordedController) { //nolint:nonamedreturns // both results have the same type
	f.t.Helper()
	f.Eventually(func() *recordedController {
		leader, other = nil, nil
		for _, replica := range replicas {
			if f.leads(replica) {
				leader = replica
			} else {
				other = replica
			}
		}
		return leader
	}).ShouldNot(BeNil())
	return leader, other
}

// leads reports whether a controller is running and the leader.
func (f *fixture) leads(controller *recordedController) bool {
	f.t.Helper()
	select {
	case <-controller.Done():
		return false
	default:
		return f.metricOf(controller, "leader_election_master_status") == 1
	}
}

const failOverPairs = 30

// TestFailover_NeverMovesBackUnderLoad kills the leader twice while tags are pushed. The first
// time, a replica with an empty store takes over; the second time, one with an outdated store.
func TestFailover_NeverMovesBackUnderLoad(t *testing.T) {
	f := newIdleFixture(t)
	registry := registrytest.Start(t)
	name := func(i int) string { return fmt.Sprintf("app-%02d", i) }
	pushed := map[string]map[string]string{} // digests by policy and tag
	newest := map[string]string{}
	push := func(i, version int) {
		tag := fmt.Sprintf("1.%d.0", version)
		if pushed[name(i)] == nil {
			pushed[name(i)] = map[string]string{}
		}
		pushed[name(i)][tag] = registry.Push(t, "org/"+name(i), tag)
		newest[name(i)] = tag
	}
	h := f.follow()
	for i := range failOverPairs {
		push(i, 0)
		f.repository(name(i), func(r *v1.ImageRepository) {
			r.Spec.Image, r.Spec.Interval.Duration = registry.Image("org/"+name(i)), 2*time.Second
		})
		f.policy(name(i), withReflection(v1.ReflectIfNotPresent))
	}
	replicas := f.replicas(2)
	settled := func() bool {
		for i := range failOverPairs {
			if h.lastTag(name(i)) != newest[name(i)] {
				return false
			}
		}
		return true
	}
	f.Eventually(settled).Should(BeTrue(), "all policies resolve")

	version := 0
	pushFor := func(d time.Duration) {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for end := time.Now().Add(d); time.Now().Before(end); <-ticker.C {
			version++
			push(version%failOverPairs, version)
		}
	}
	for range 2 {
		pushFor(2 * time.Second)
		leader, other := f.leader(replicas)
		f.Expect(leader.Kill()).To(Succeed())
		pushFor(2 * time.Second)
		f.Eventually(func() bool { return f.leads(other) }).Should(BeTrue())
		f.Expect(leader.Start(f.ctx)).To(Succeed(), "the killed replica restarts as a standby")
	}
	f.Eventually(settled).Should(BeTrue())

	f.expectSteady(h)
	for i := range failOverPairs {
		before := -1
		for _, ref := range h.refsOf(name(i)) {
			var minor int
			f.Expect(fmt.Sscanf(ref.Tag, "1.%d.0", &minor)).Error().NotTo(HaveOccurred())
			f.Expect(minor).To(BeNumerically(">", before), "%s went through %v", name(i), h.tags(name(i)))
			f.Expect(ref.Digest).To(Equal(pushed[name(i)][ref.Tag]), "of %s", ref.Tag)
			before = minor
		}
	}
	f.Expect(f.eventCounts()).To(HaveEach(1), "no event is repeated")
}

// TestFailover_ExitsIfStorageIsLocked checks that a leader that can't lock its storage exits, so
// that another replica can take over.
func TestFailover_ExitsIfStorageIsLocked(t *testing.T) {
	f := newIdleFixture(t)
	controller := f.replica()
	holder := store.New(controller.StoragePath(), store.Options{})
	f.Expect(holder.Keys(f.ctx)).Error().NotTo(HaveOccurred())
	defer func() { f.Expect(holder.Close()).To(Succeed()) }()
	f.start(controller)
	f.Eventually(controller.Done()).Should(BeClosed())
	f.Expect(controller.Exit()).To(MatchError(HaveSuffix("exit status 1")))
	f.Expect(testenv.Tail(controller.LogFile(), 12)).To(ContainSubstring("another process uses the tag store"))
}

// TestFailover_StopsWhileStorageIsLocked checks that a leader that waits for its storage stops
// within the termination grace period.
func TestFailover_StopsWhileStorageIsLocked(t *testing.T) {
	f := newIdleFixture(t)
	controller := f.replica()
	holder := store.New(controller.StoragePath(), store.Options{})
	f.Expect(holder.Keys(f.ctx)).Error().NotTo(HaveOccurred())
	defer func() { f.Expect(holder.Close()).To(Succeed()) }()
	f.repository("app")
	f.Expect(controller.Start(f.ctx)).To(Succeed())
	f.Eventually(func() string { return testenv.Tail(controller.LogFile(), 60) }).Should(ContainSubstring("Starting workers"))
	start := time.Now()
	f.Expect(controller.Stop()).To(Succeed())
	f.Expect(time.Since(start)).To(BeNumerically("<", 3*time.Second))
}

// TestFailover_ReplicasShareVolume checks that replicas can share a volume: a standby opens the
// store only when it becomes the leader, and then uses the stored tags.
func TestFailover_ReplicasShareVolume(t *testing.T) {
	f := newIdleFixture(t)
	f.pushTags("app", "1.0.0", "1.1.0")
	h := f.follow()
	repo, policy := f.repository("app"), f.policy("app")
	replicas := f.replicas(2, "--storage-path="+t.TempDir())
	awaitReady(f, policy)
	f.Eventually(func() int { return len(f.events(repo)) + len(f.events(policy)) }).Should(Equal(2))
	f.proxy.takeRequests("")
	for _, end := range []func(*recordedController) error{(*recordedController).Stop, (*recordedController).Kill} {
		leader, other := f.leader(replicas)
		f.Expect(end(leader)).To(Succeed())
		f.Eventually(func() float64 { return f.metricOf(other, "controller_runtime_reconcile_total") }).Should(BeNumerically(">=", 2))
		f.Expect(leader.Start(f.ctx)).To(Succeed(), "it starts while the leader has locked the store")
	}
	f.Expect(f.proxy.takeRequests("")).To(BeEmpty(), "the stored tags are used")
	f.Expect(h.tags("app")).To(Equal([]string{"1.1.0"}))
	f.expectSteady(h)
	f.Expect(f.eventCounts()).To(And(HaveLen(2), HaveEach(1)))
}
