// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// shardKey is the label that assigns the objects of a test to shards.
const shardKey = "sharding.fluxcd.io/key"

// shard returns a controller for the objects of the test with a value of the shard label.
func (f *fixture) shard(name string) *recordedController {
	f.t.Helper()
	selector := shardLabel + "=" + f.namespace + "," + shardKey + "=" + name
	return f.replica(append(leaderElectionFlags, "--watch-label-selector="+selector, "--requeue-dependency=5s")...)
}

// inShard returns a change that assigns an object to a shard.
func inShard[T client.Object](name string) func(T) {
	return func(obj T) {
		labels := obj.GetLabels()
		labels[shardKey] = name
		obj.SetLabels(labels)
	}
}

// reconcilesOf returns the number of reconciles of objects with a name in the metrics of a
// controller.
func (f *fixture) reconcilesOf(controller *recordedController, name string) float64 {
	f.t.Helper()
	return f.metricOf(controller, "gotk_reconcile_duration_seconds_count", `name="`+name+`"`)
}

// TestShards_HandOverObjects runs two controllers, moves objects from one shard to the other, and
// checks which controller reconciles them.
func TestShards_HandOverObjects(t *testing.T) {
	f := newIdleFixture(t)
	h := f.follow()
	a, b := f.start(f.shard("a")), f.start(f.shard("b"))
	f.pushTags("moved", "1.0.0", "1.1.0")
	f.pushTags("other", "1.0.0")
	repo, policy := f.repository("moved", inShard[*v1.ImageRepository]("a")), f.policy("moved", inShard[*v1.ImagePolicy]("a"))
	other := f.policy("other", inShard[*v1.ImagePolicy]("b"))
	f.repository("other", inShard[*v1.ImageRepository]("b"))
	awaitReady(f, policy)
	awaitReady(f, other)
	f.Expect(f.leads(a) && f.leads(b)).To(BeTrue(), "each shard has its own leader election")
	f.Expect(f.proxy.takeRequests("tags/list")).To(HaveLen(2), "each repository is scanned once")
	f.Expect([]bool{f.reconcilesOf(a, "moved") > 0, f.reconcilesOf(a, "other") > 0, f.reconcilesOf(b, "moved") > 0, f.reconcilesOf(b, "other") > 0}).
		To(Equal([]bool{true, false, false, true}))

	edit(f, repo, inShard[*v1.ImageRepository]("b"))
	time.Sleep(time.Second) // a user moves one object after the other
	edit(f, policy, inShard[*v1.ImagePolicy]("b"))
	f.Eventually(func() []string { return f.proxy.takeRequests("tags/list") }).Should(HaveLen(1), "the new shard scans")
	f.Eventually(func() float64 { return f.reconcilesOf(a, "moved") }).Should(BeZero(), "the old shard removes the metrics")
	f.pushTags("moved", "1.2.0")
	requestReconcile(f, repo)
	f.Eventually(func() []string { return h.tags("moved") }).Should(Equal([]string{"1.1.0", "1.2.0"}))
	f.expectSteady(h)
	awaitReady(f, policy)
	f.Eventually(f.eventCounts).Should(And(HaveLen(6), HaveEach(1)), "2 events of other, and 2 of each moved object")
	f.Expect(f.storedKeysOf(a)).To(BeEmpty())
	f.Expect(f.storedKeysOf(b)).To(HaveLen(2))
}
