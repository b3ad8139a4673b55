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

// electing are the flags of replicas that elect a leader, which takes less time
// than in a real cluster.
var electing = []string{
	"--enable-leader-election",
	"--leader-election-lease-duration=3s",
	"--leader-election-renew-deadline=2s",
	"--leader-election-retry-period=500ms",
}

// replicas starts replicas of a controller.
func (s *scene) replicas(n int, flags ...string) []*recorded {
	s.t.Helper()
	var all []*recorded
	for range n {
		all = append(all, s.start(s.replica(append(electing, flags...)...)))
	}
	return all
}

// leader waits until one of the replicas leads, and returns it and another one.
func (s *scene) leader(replicas []*recorded) (leader, other *recorded) { //nolint:nonamedreturns // they are of one type
	s.t.Helper()
	s.Eventually(func() *recorded {
		leader, other = nil, nil
		for _, replica := range replicas {
			if s.leads(replica) {
				leader = replica
			} else {
				other = replica
			}
		}
		return leader
	}).ShouldNot(BeNil())
	return leader, other
}

// leads reports whether the controller runs and is the leader.
func (s *scene) leads(controller *recorded) bool {
	s.t.Helper()
	select {
	case <-controller.Done():
		return false
	default:
		return s.metricOf(controller, "leader_election_master_status") == 1
	}
}

const failOverPairs = 30

// TestFailover_NeverMovesBackUnderLoad kills the leader while tags are pushed: once so that a
// replica with an empty store takes over, once so that one with an old store does.
func TestFailover_NeverMovesBackUnderLoad(t *testing.T) {
	s := emptyScene(t)
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
	h := s.follow()
	for i := range failOverPairs {
		push(i, 0)
		s.repository(name(i), func(r *v1.ImageRepository) {
			r.Spec.Image, r.Spec.Interval.Duration = registry.Image("org/"+name(i)), 2*time.Second
		})
		s.policy(name(i), reflecting(v1.ReflectIfNotPresent))
	}
	replicas := s.replicas(2)
	settled := func() bool {
		for i := range failOverPairs {
			if h.last(name(i)) != newest[name(i)] {
				return false
			}
		}
		return true
	}
	s.Eventually(settled).Should(BeTrue(), "all resolve")

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
		leader, other := s.leader(replicas)
		s.Expect(leader.Kill()).To(Succeed())
		pushFor(2 * time.Second)
		s.Eventually(func() bool { return s.leads(other) }).Should(BeTrue())
		s.Expect(leader.Start(s.ctx)).To(Succeed(), "the killed one is started again, and stands by")
	}
	s.Eventually(settled).Should(BeTrue())

	s.expectSteady(h)
	for i := range failOverPairs {
		before := -1
		for _, ref := range h.of(name(i)) {
			var minor int
			s.Expect(fmt.Sscanf(ref.Tag, "1.%d.0", &minor)).Error().NotTo(HaveOccurred())
			s.Expect(minor).To(BeNumerically(">", before), "%s went through %v", name(i), h.tags(name(i)))
			s.Expect(ref.Digest).To(Equal(pushed[name(i)][ref.Tag]), "of %s", ref.Tag)
			before = minor
		}
	}
	s.Expect(s.told()).To(HaveEach(1), "nothing is told twice")
}

// TestFailover_ExitsIfStorageIsLocked shows that a leader which can't have its storage ends, so
// that another replica can try.
func TestFailover_ExitsIfStorageIsLocked(t *testing.T) {
	s := emptyScene(t)
	controller := s.replica()
	holder := store.New(controller.StoragePath(), store.Options{})
	s.Expect(holder.Keys(s.ctx)).Error().NotTo(HaveOccurred())
	defer func() { s.Expect(holder.Close()).To(Succeed()) }()
	s.start(controller)
	s.Eventually(controller.Done()).Should(BeClosed())
	s.Expect(controller.Exit()).To(MatchError(HaveSuffix("exit status 1")))
	s.Expect(testenv.Tail(controller.LogFile(), 12)).To(ContainSubstring("another process holds the tag store"))
}

// TestFailover_StopsWhileStorageIsLocked shows that a leader which waits for its storage
// ends when it is asked to, well within the time that a pod is given for that.
func TestFailover_StopsWhileStorageIsLocked(t *testing.T) {
	s := emptyScene(t)
	controller := s.replica()
	holder := store.New(controller.StoragePath(), store.Options{})
	s.Expect(holder.Keys(s.ctx)).Error().NotTo(HaveOccurred())
	defer func() { s.Expect(holder.Close()).To(Succeed()) }()
	s.repository("app")
	s.Expect(controller.Start(s.ctx)).To(Succeed())
	s.Eventually(func() string { return testenv.Tail(controller.LogFile(), 60) }).Should(ContainSubstring("Starting workers"))
	asked := time.Now()
	s.Expect(controller.Stop()).To(Succeed())
	s.Expect(time.Since(asked)).To(BeNumerically("<", 3*time.Second))
}

// TestFailover_ReplicasShareVolume shows that a replica which stands by leaves the file
// of the store to the leader, and goes on with it once it leads.
func TestFailover_ReplicasShareVolume(t *testing.T) {
	s := emptyScene(t)
	s.pushTags("app", "1.0.0", "1.1.0")
	h := s.follow()
	repo, policy := s.repository("app"), s.policy("app")
	replicas := s.replicas(2, "--storage-path="+t.TempDir())
	ready(s, policy)
	s.Eventually(func() int { return len(s.events(repo)) + len(s.events(policy)) }).Should(Equal(2))
	s.proxy.asked("")
	for _, end := range []func(*recorded) error{(*recorded).Stop, (*recorded).Kill} {
		leader, other := s.leader(replicas)
		s.Expect(end(leader)).To(Succeed())
		s.Eventually(func() float64 { return s.metricOf(other, "controller_runtime_reconcile_total") }).Should(BeNumerically(">=", 2))
		s.Expect(leader.Start(s.ctx)).To(Succeed(), "beside the one that holds the file")
	}
	s.Expect(s.proxy.asked("")).To(BeEmpty(), "the tags are there")
	s.Expect(h.tags("app")).To(Equal([]string{"1.1.0"}))
	s.expectSteady(h)
	s.Expect(s.told()).To(And(HaveLen(2), HaveEach(1)))
}
