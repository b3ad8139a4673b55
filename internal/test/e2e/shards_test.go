// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// shardKey is the label by which a scene's objects are spread.
const shardKey = "sharding.fluxcd.io/key"

// shard is a controller of the scene's objects with a value of the shard label.
func (s *scene) shard(name string) *recorded {
	s.t.Helper()
	selector := shardLabel + "=" + s.namespace + "," + shardKey + "=" + name
	return s.replica(append(electing, "--watch-label-selector="+selector, "--requeue-dependency=5s")...)
}

// inShard labels an object.
func inShard[T client.Object](name string) func(T) {
	return func(obj T) {
		labels := obj.GetLabels()
		labels[shardKey] = name
		obj.SetLabels(labels)
	}
}

// reconciled is how often a controller worked on the object of a name of either
// kind, as far as its metrics still tell.
func (s *scene) reconciled(controller *recorded, name string) float64 {
	s.t.Helper()
	return s.metricOf(controller, "gotk_reconcile_duration_seconds_count", `name="`+name+`"`)
}

// TestShards_HandOverObjects runs two controllers side by side, moves objects from one to
// the other, and looks at who does what.
func TestShards_HandOverObjects(t *testing.T) {
	s := emptyScene(t)
	h := s.follow()
	a, b := s.start(s.shard("a")), s.start(s.shard("b"))
	s.pushTags("moved", "1.0.0", "1.1.0")
	s.pushTags("other", "1.0.0")
	repo, policy := s.repository("moved", inShard[*v1.ImageRepository]("a")), s.policy("moved", inShard[*v1.ImagePolicy]("a"))
	other := s.policy("other", inShard[*v1.ImagePolicy]("b"))
	s.repository("other", inShard[*v1.ImageRepository]("b"))
	ready(s, policy)
	ready(s, other)
	s.Expect(s.leads(a) && s.leads(b)).To(BeTrue(), "shards don't exclude each other")
	s.Expect(s.proxy.asked("tags/list")).To(HaveLen(2), "each repository is scanned once")
	s.Expect([]bool{s.reconciled(a, "moved") > 0, s.reconciled(a, "other") > 0, s.reconciled(b, "moved") > 0, s.reconciled(b, "other") > 0}).
		To(Equal([]bool{true, false, false, true}))

	edit(s, repo, inShard[*v1.ImageRepository]("b"))
	time.Sleep(time.Second) // as a person does it, one after the other
	edit(s, policy, inShard[*v1.ImagePolicy]("b"))
	s.Eventually(func() []string { return s.proxy.asked("tags/list") }).Should(HaveLen(1), "the new shard scans")
	s.Eventually(func() float64 { return s.reconciled(a, "moved") }).Should(BeZero(), "the old one forgets")
	s.pushTags("moved", "1.2.0")
	request(s, repo)
	s.Eventually(func() []string { return h.tags("moved") }).Should(Equal([]string{"1.1.0", "1.2.0"}))
	s.expectSteady(h)
	ready(s, policy)
	s.Eventually(s.told).Should(And(HaveLen(6), HaveEach(1)), "2 of other, and 2 of each object that moved")
	s.Expect(s.storedBy(a)).To(BeEmpty())
	s.Expect(s.storedBy(b)).To(HaveLen(2))
}
