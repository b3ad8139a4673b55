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

func sortByTime(by v1.TimeSource) func(*v1.ImagePolicySpec) {
	return func(spec *v1.ImagePolicySpec) {
		spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: by}}
		spec.FilterTags = &v1.TagFilter{Pattern: "^main-"}
		spec.DigestReflectionPolicy = v1.ReflectNever
	}
}

func TestNewest_SelectsByFirstSeen(t *testing.T) {
	gated(t, sortByTime(v1.TimeFirstSeen), func(g *WithT, f *fixture) {
		f.rescan(g, "main-zz", "main-aa", "v1")
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("main-zz"), "in one scan, the last in byte order")
		sleep(time.Minute)
		f.rescan(g, "main-zz", "main-aa", "main-bb", "v2")
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("main-bb"))
		g.Expect(f.receivedRequests()).To(BeEmpty(), "no request is sent")
	})
}

func TestNewest_SelectsByCreated(t *testing.T) {
	gated(t, sortByTime(v1.TimeCreated), func(g *WithT, f *fixture) {
		f.push("main-a", "linux", "amd64", longAgo.Add(3*time.Hour))
		f.push("main-b", "linux", "amd64", longAgo.Add(time.Hour))
		f.push("main-c", "linux", "amd64", time.Unix(0, 0))
		f.rescan(g, "main-a", "main-b", "main-c", "main-gone", "v1")
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("main-a"))
		requests := f.receivedRequests()
		slices.Sort(requests)
		g.Expect(requests).To(Equal([]string{"blob", "blob", "blob", "manifest main-a", "manifest main-b", "manifest main-c", "manifest main-gone"}))

		f.push("main-d", "linux", "amd64", longAgo.Add(2*time.Hour))
		f.push("main-e", "linux", "amd64", longAgo.Add(4*time.Hour))
		f.rescan(g, "main-a", "main-b", "main-c", "main-d", "main-e", "main-gone", "v1")
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("main-e"))
		g.Expect(f.receivedRequests()).To(ConsistOf("manifest main-d", "blob", "manifest main-e", "blob"), "only the new tags")
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.receivedRequests()).To(BeEmpty())

		f.push("main-gone", "linux", "amd64", longAgo.Add(5*time.Hour))
		sleep(24 * time.Hour)
		g.Expect(f.reconcile()).To(Succeed())
		g.Expect(f.summary()).To(Equal("main-gone"), "a tag without an image is checked once a day")
		g.Expect(f.receivedRequests()).To(ConsistOf("manifest main-gone", "blob"))
	})
}

// TestNewest_OrdersUnknownCreationTimesByFirstSeen checks images of builders that write a constant
// creation time: 1970, 1980 or the zero time of Go.
func TestNewest_OrdersUnknownCreationTimesByFirstSeen(t *testing.T) {
	for _, fixed := range []time.Time{time.Unix(0, 0), time.Date(1980, 1, 1, 0, 0, 1, 0, time.UTC), {}} {
		gated(t, sortByTime(v1.TimeCreated), func(g *WithT, f *fixture) {
			f.push("main-a", "linux", "amd64", longAgo)
			f.push("main-z", "linux", "amd64", fixed)
			f.rescan(g, "main-a", "main-z")
			g.Expect(f.reconcile()).To(Succeed())
			g.Expect(f.summary()).To(Equal("main-a"), "the age of the other one is unknown")

			f.receivedRequests()
			sleep(time.Minute)
			f.push("main-b", "linux", "amd64", fixed)
			f.rescan(g, "main-a", "main-z", "main-b", "main-gone")
			g.Expect(f.reconcile()).To(Succeed())
			g.Expect(f.summary()).To(Equal("main-b"), "first seen later; the other new tag has no image")
			g.Expect(f.receivedRequests()).To(ConsistOf("manifest main-b", "blob", "manifest main-gone"))

			sleep(time.Minute)
			f.push("main-0", "linux", "amd64", fixed)
			f.rescan(g, "main-a", "main-z", "main-b", "main-0")
			g.Expect(f.reconcile()).To(Succeed())
			g.Expect(f.summary()).To(Equal("main-0"), "by first-seen time, not by byte order")
		})
	}
}

// TestNewest_ReadsCreationTimesInBatches checks that the times that were read survive failures and
// restarts, and that the latest image stays unchanged until all are read.
func TestNewest_ReadsCreationTimesInBatches(t *testing.T) {
	gated(t, sortByTime(v1.TimeCreated), func(g *WithT, f *fixture) {
		f.push("main-0", "linux", "amd64", longAgo)
		f.rescan(g, "main-0")
		g.Expect(f.reconcile()).To(Succeed())

		tags := []string{"main-0"}
		for i := range 500 {
			tags = append(tags, fmt.Sprintf("main-%d", i+1))
			f.push(tags[i+1], "linux", "amd64", longAgo.Add(time.Duration((i*7)%500+1)*time.Hour))
		}
		f.rescan(g, tags...)
		f.receivedRequests()
		batches := 0
		for err := f.reconcile(); err != nil; err = f.reconcile() {
			_, deferred := errors.AsType[*conditions.DeferredError](err)
			g.Expect(deferred || errors.Is(err, f.down)).To(BeTrue(), err.Error())
			g.Expect(f.policy.Status.LatestRef.Tag).To(Equal("main-0"), "no tag is selected before all times are read")
			batches++
			f.down = nil
			if batches == 3 {
				f.down = errors.New("registry down")
				f.worker.evaluations = reconcile.PerObject[cachedEvaluation]{} // a new process
			}
		}
		g.Expect(f.policy.Status.LatestRef.Tag).To(Equal("main-358"), "the newest")
		g.Expect(batches).To(Equal(8), "one of them failed")
		g.Expect(len(f.receivedRequests())).To(And(BeNumerically(">=", 1000), BeNumerically("<=", 1000+maxConcurrentReads)), "nothing is read twice")
	})
}

// maxConcurrentReads is the number of images that are read concurrently, whose requests a failure
// cancels.
const maxConcurrentReads = 8
