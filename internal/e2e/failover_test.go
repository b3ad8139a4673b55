// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
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
func (s *scene) replicas(n int, flags ...string) []*stage.Controller {
	s.t.Helper()
	var all []*stage.Controller
	for range n {
		all = append(all, s.start(s.replica(append(electing, flags...)...)))
	}
	return all
}

// leader waits until one of the replicas leads, and returns it and another one.
func (s *scene) leader(replicas []*stage.Controller) (leader, other *stage.Controller) { //nolint:nonamedreturns // they are of one type
	s.t.Helper()
	s.Eventually(func() *stage.Controller {
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
func (s *scene) leads(controller *stage.Controller) bool {
	s.t.Helper()
	select {
	case <-controller.Done():
		return false
	default:
		return s.metricOf(controller, "leader_election_master_status") == 1
	}
}

// traffic is what a registry sees of its load.
type traffic struct {
	mu            sync.Mutex
	inFlight, max int
	times         []time.Time
}

// observe notes each request, which takes a moment.
func (tr *traffic) observe(w http.ResponseWriter, req *http.Request, next http.Handler) {
	tr.mu.Lock()
	tr.inFlight++
	tr.max = max(tr.max, tr.inFlight)
	tr.times = append(tr.times, time.Now())
	tr.mu.Unlock()
	registrytest.Delay(10*time.Millisecond)(w, req, next)
	tr.mu.Lock()
	tr.inFlight--
	tr.mu.Unlock()
}

// busiest returns the most requests within any second.
func (tr *traffic) busiest() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	most, first := 0, 0
	for i, at := range tr.times {
		for at.Sub(tr.times[first]) > time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

const (
	failOverPairs = 30
	// per host, for each leader
	maxInFlight, qps, burst = 4, 40, 10
)

// TestFailOverUnderLoad kills the leader while tags are pushed: once so that a
// replica with an empty store takes over, once so that one with an old store does.
func TestFailOverUnderLoad(t *testing.T) {
	s := emptyScene(t)
	registry := registrytest.Start(t)
	seen := &traffic{}
	registry.Inject(registrytest.Any, seen.observe)
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
	replicas := s.replicas(2, fmt.Sprintf("--registry-max-in-flight=%d", maxInFlight),
		fmt.Sprintf("--registry-qps=%d", qps), fmt.Sprintf("--registry-burst=%d", burst))
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
			_, err := fmt.Sscanf(ref.Tag, "1.%d.0", &minor)
			s.Expect(err).NotTo(HaveOccurred())
			s.Expect(minor).To(BeNumerically(">", before), "%s went through %v", name(i), h.tags(name(i)))
			s.Expect(ref.Digest).To(Equal(pushed[name(i)][ref.Tag]), "of %s", ref.Tag)
			before = minor
		}
	}
	s.Expect(s.told()).To(HaveEach(1), "nothing is told twice")
	s.Expect(seen.max).To(BeNumerically("<=", maxInFlight))
	s.Expect(seen.busiest()).To(BeNumerically("<=", burst+qps+maxInFlight), "rescans pass the gate")
	t.Logf("%d tags pushed, %d requests, at most %d in flight and %d a second, %d events",
		version+failOverPairs, len(seen.times), seen.max, seen.busiest(), len(s.told()))
}

// TestTagsThatVanishDuringAFailOver shows that the new leader gives a tag up
// only if the registry says that it is gone.
func TestTagsThatVanishDuringAFailOver(t *testing.T) {
	s := emptyScene(t)
	registry := registrytest.Start(t)
	h := s.follow()
	for _, name := range []string{"gone", "hidden"} {
		registry.PushTags(t, "org/"+name, "1.0.0", "1.1.0", "1.2.0")
		s.repository(name, func(r *v1.ImageRepository) {
			r.Spec.Image, r.Spec.Interval.Duration = registry.Image("org/"+name), time.Second
		})
		s.policy(name)
	}
	replicas := s.replicas(2)
	leader, other := s.leader(replicas)
	s.Eventually(func() []string { return []string{h.last("gone"), h.last("hidden")} }).Should(HaveEach("1.2.0"))

	s.Expect(leader.Kill()).To(Succeed())
	registry.Delete(t, "org/gone", "1.2.0")
	registry.Inject(registrytest.Tags, without("org/hidden", "1.2.0"))
	registry.Reset()
	s.Eventually(func() bool { return s.leads(other) }).Should(BeTrue())
	s.Eventually(func() string { return h.last("gone") }).Should(Equal("1.1.0"))
	// twice where the cache did not show yet what the first look had led to
	s.Expect(asked(registry, "/v2/org/gone/manifests/1.2.0")).To(BeElementOf(1, 2), "before it was given up")
	s.Eventually(func() int { return asked(registry, "/v2/org/hidden/manifests/1.2.0") }).Should(BeNumerically(">=", 2), "and again")
	s.Expect(h.tags("hidden")).To(Equal([]string{"1.2.0"}))
	s.Expect(h.tags("gone")).To(Equal([]string{"1.2.0", "1.1.0"}))
	s.expectSteady(h)
}

// TestStorageInUse shows that a leader which can't have its storage ends, so
// that another replica can try.
func TestStorageInUse(t *testing.T) {
	s := emptyScene(t)
	controller := s.replica()
	holder := store.New(controller.StoragePath(), store.Options{})
	_, err := holder.Keys(s.ctx)
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { s.Expect(holder.Close()).To(Succeed()) }()
	s.start(controller)
	s.Eventually(controller.Done()).Should(BeClosed())
	s.Expect(controller.Exit()).To(MatchError(HaveSuffix("exit status 1")))
	s.Expect(stage.Tail(controller.LogFile(), 12)).To(ContainSubstring("another process holds the tag store"))
}

// TestStopWhileTheStorageIsInUse shows that a leader which waits for its storage
// ends when it is asked to, well within the time that a pod is given for that.
func TestStopWhileTheStorageIsInUse(t *testing.T) {
	s := emptyScene(t)
	controller := s.replica()
	holder := store.New(controller.StoragePath(), store.Options{})
	_, err := holder.Keys(s.ctx)
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { s.Expect(holder.Close()).To(Succeed()) }()
	s.repository("app")
	s.Expect(controller.Start(s.ctx)).To(Succeed())
	s.Eventually(func() string { return stage.Tail(controller.LogFile(), 60) }).Should(ContainSubstring("Starting workers"))
	asked := time.Now()
	s.Expect(controller.Stop()).To(Succeed())
	s.Expect(time.Since(asked)).To(BeNumerically("<", 3*time.Second))
}

// TestReplicasOfOneVolume shows that a replica which stands by leaves the file
// of the store to the leader, and goes on with it once it leads.
func TestReplicasOfOneVolume(t *testing.T) {
	s := emptyScene(t)
	s.pushTags("app", "1.0.0", "1.1.0")
	h := s.follow()
	repo, policy := s.repository("app"), s.policy("app")
	replicas := s.replicas(2, "--storage-path="+t.TempDir())
	ready(s, policy)
	s.Eventually(func() int { return len(s.events(repo)) + len(s.events(policy)) }).Should(Equal(2))
	s.proxy.asked("")
	for _, end := range []func(*stage.Controller) error{(*stage.Controller).Stop, (*stage.Controller).Kill} {
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
