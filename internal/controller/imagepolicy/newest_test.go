// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
)

func byTime(by v1.TimeSource) func(*v1.ImagePolicySpec) {
	return func(spec *v1.ImagePolicySpec) {
		spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: by}}
		spec.FilterTags = &v1.TagFilter{Pattern: "^main-"}
		spec.DigestReflectionPolicy = v1.ReflectNever
	}
}

func TestNewest_SelectsByFirstSeen(t *testing.T) {
	gated(t, byTime(v1.TimeFirstSeen), func(g *WithT, w *fixture) {
		w.rescan(g, "main-zz", "main-aa", "v1")
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("main-zz"), "of one scan, the greater in byte order")
		pass(time.Minute)
		w.rescan(g, "main-zz", "main-aa", "main-bb", "v2")
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("main-bb"))
		g.Expect(w.asked()).To(BeEmpty(), "nothing is asked")
	})
}

func TestNewest_SelectsByCreated(t *testing.T) {
	gated(t, byTime(v1.TimeCreated), func(g *WithT, w *fixture) {
		w.put("main-a", "linux", "amd64", longAgo.Add(3*time.Hour))
		w.put("main-b", "linux", "amd64", longAgo.Add(time.Hour))
		w.put("main-c", "linux", "amd64", time.Unix(0, 0))
		w.rescan(g, "main-a", "main-b", "main-c", "main-gone", "v1")
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("main-a"))
		asked := w.asked()
		slices.Sort(asked)
		g.Expect(asked).To(Equal([]string{"blob", "blob", "blob", "manifest main-a", "manifest main-b", "manifest main-c", "manifest main-gone"}))

		w.put("main-d", "linux", "amd64", longAgo.Add(2*time.Hour))
		w.put("main-e", "linux", "amd64", longAgo.Add(4*time.Hour))
		w.rescan(g, "main-a", "main-b", "main-c", "main-d", "main-e", "main-gone", "v1")
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("main-e"))
		g.Expect(w.asked()).To(ConsistOf("manifest main-d", "blob", "manifest main-e", "blob"), "only those that are new")
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.asked()).To(BeEmpty())

		w.put("main-gone", "linux", "amd64", longAgo.Add(5*time.Hour))
		pass(24 * time.Hour)
		g.Expect(w.settle()).To(Succeed())
		g.Expect(w.told()).To(Equal("main-gone"), "what was not there is looked for once a day")
		g.Expect(w.asked()).To(ConsistOf("manifest main-gone", "blob"))
	})
}

// TestNewest_OrdersUnknownCreationTimesByFirstSeen stands for builders that write one time
// into every image: 1970, 1980, the zero time of Go.
func TestNewest_OrdersUnknownCreationTimesByFirstSeen(t *testing.T) {
	for _, fixed := range []time.Time{time.Unix(0, 0), time.Date(1980, 1, 1, 0, 0, 1, 0, time.UTC), {}} {
		gated(t, byTime(v1.TimeCreated), func(g *WithT, w *fixture) {
			w.put("main-a", "linux", "amd64", longAgo)
			w.put("main-z", "linux", "amd64", fixed)
			w.rescan(g, "main-a", "main-z")
			g.Expect(w.settle()).To(Succeed())
			g.Expect(w.told()).To(Equal("main-a"), "how old the other one is, was never seen")

			w.asked()
			pass(time.Minute)
			w.put("main-b", "linux", "amd64", fixed)
			w.rescan(g, "main-a", "main-z", "main-b", "main-gone")
			g.Expect(w.settle()).To(Succeed())
			g.Expect(w.told()).To(Equal("main-b"), "pushed since, and not the one that has no image")
			g.Expect(w.asked()).To(ConsistOf("manifest main-b", "blob", "manifest main-gone"))

			pass(time.Minute)
			w.put("main-0", "linux", "amd64", fixed)
			w.rescan(g, "main-a", "main-z", "main-b", "main-0")
			g.Expect(w.settle()).To(Succeed())
			g.Expect(w.told()).To(Equal("main-0"), "by the time of each, and not by bytes")
		})
	}
}

// TestNewest_ReadsCreationTimesInBatches tests that reading the times of many images keeps what
// it has through failures and restarts, and leaves the policy as it is until it is done.
func TestNewest_ReadsCreationTimesInBatches(t *testing.T) {
	gated(t, byTime(v1.TimeCreated), func(g *WithT, w *fixture) {
		w.put("main-0", "linux", "amd64", longAgo)
		w.rescan(g, "main-0")
		g.Expect(w.settle()).To(Succeed())

		tags := []string{"main-0"}
		for i := range 500 {
			tags = append(tags, fmt.Sprintf("main-%d", i+1))
			w.put(tags[i+1], "linux", "amd64", longAgo.Add(time.Duration((i*7)%500+1)*time.Hour))
		}
		w.rescan(g, tags...)
		w.asked()
		parts := 0
		for err := w.settle(); err != nil; err = w.settle() {
			_, deferred := errors.AsType[*conditions.DeferredError](err)
			g.Expect(deferred || errors.Is(err, w.down)).To(BeTrue(), err.Error())
			g.Expect(w.policy.Status.LatestRef.Tag).To(Equal("main-0"), "no result of a part")
			parts++
			w.down = nil
			if parts == 3 {
				w.down = errors.New("registry down")
				w.policies.evaluations = reconcile.PerObject[evaluationMemory]{} // as a new process begins
			}
		}
		g.Expect(w.policy.Status.LatestRef.Tag).To(Equal("main-358"), "created last")
		g.Expect(parts).To(Equal(8), "one of them failed")
		g.Expect(len(w.asked())).To(And(BeNumerically(">=", 1000), BeNumerically("<=", 1000+readersAtMost)), "nothing is read twice")
	})
}

// readersAtMost is how many requests a failure may end.
const readersAtMost = 8
