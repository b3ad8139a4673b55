// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// story returns the tags and reasons in the history, oldest first.
func (f *fixture) story() string {
	text := ""
	for _, e := range f.policy.Status.History {
		text = fmt.Sprintf("%s %s; ", e.Tag, e.Reason) + text
	}
	return strings.TrimSuffix(text, "; ")
}

// edit changes the spec of the policy, as a user does.
func (f *fixture) edit(change func(*v1.ImagePolicySpec)) {
	change(&f.policy.Spec)
	f.policy.Generation++
}

// TestHistory_StatesWhyTheImageChanged runs the worker through every cause, and through cases in
// which several of them could apply.
func TestHistory_StatesWhyTheImageChanged(t *testing.T) {
	const digestA, digestB = "sha256:" + "a", "sha256:" + "b"
	exclude := func(tags ...string) func(*v1.ImagePolicySpec) {
		return func(spec *v1.ImagePolicySpec) { spec.Exclude = tags }
	}
	reflecting := func(p v1.ReflectionPolicy) func(*v1.ImagePolicySpec) {
		return func(spec *v1.ImagePolicySpec) { spec.DigestReflectionPolicy = p }
	}
	for _, tt := range []struct {
		name  string
		steps func(g *WithT, f *fixture, next func(tags ...string))
		want  string
	}{
		{"a higher tag is pushed", func(_ *WithT, _ *fixture, next func(...string)) {
			next("1.0.0", "1.1.0")
		}, "1.0.0 Initial; 1.1.0 NewTag"},
		{"a higher tag is pushed, and the previous one deleted", func(_ *WithT, _ *fixture, next func(...string)) {
			next("1.1.0")
		}, "1.0.0 Initial; 1.1.0 NewTag"},
		{"the tag is deleted, and pushed again", func(_ *WithT, _ *fixture, next func(...string)) {
			next("1.0.0", "1.1.0")
			next("1.0.0")
			next("1.0.0", "1.1.0")
		}, "1.0.0 Initial; 1.1.0 NewTag; 1.0.0 TagGone; 1.1.0 NewTag"},
		{"the exclusion list excludes the tag", func(_ *WithT, f *fixture, next func(...string)) {
			next("1.0.0", "1.1.0")
			f.repo.Spec.ExclusionList = []string{"^1[.]1"}
			next("1.0.0")
		}, "1.0.0 Initial; 1.1.0 NewTag; 1.0.0 PolicyChanged"},
		{"the tag is excluded, and allowed again", func(_ *WithT, f *fixture, next func(...string)) {
			next("1.0.0", "1.1.0")
			f.edit(exclude("1.1.0"))
			next("1.0.0", "1.1.0")
			f.edit(exclude())
			next("1.0.0", "1.1.0")
		}, "1.0.0 Initial; 1.1.0 NewTag; 1.0.0 PolicyChanged; 1.1.0 PolicyChanged"},
		{"the spec changes without another result, and then a tag is pushed", func(_ *WithT, f *fixture, next func(...string)) {
			f.edit(exclude("0.9.0"))
			next("1.0.0")
			next("1.0.0", "1.1.0")
		}, "1.0.0 Initial; 1.1.0 NewTag"},
		{"the first reconcile of a changed spec fails", func(g *WithT, f *fixture, next func(...string)) {
			f.edit(func(spec *v1.ImagePolicySpec) {
				spec.Policy.SemVer.Range, spec.DigestReflectionPolicy = ">=1.0.0-0", v1.ReflectIfNotPresent
			})
			f.scanned(g, "1.0.0", "1.1.0-rc.1")
			f.down = errors.New("refused")
			g.Expect(f.reconcile()).NotTo(Succeed())
			f.down = nil
			next("1.0.0", "1.1.0-rc.1")
		}, "1.0.0 Initial; 1.1.0-rc.1 PolicyChanged"},
		{"a suspended policy is resumed", func(_ *WithT, f *fixture, next func(...string)) {
			f.policy.Generation += 2
			next("1.0.0", "1.1.0")
		}, "1.0.0 Initial; 1.1.0 PolicyChanged"},
		{"the image of the repository changes", func(_ *WithT, f *fixture, next func(...string)) {
			f.repo.Spec.Image = "ghcr.io/org/other"
			next("1.0.0")
		}, "1.0.0 Initial; 1.0.0 ImageChanged"},
		{"the digest appears, moves and disappears", func(_ *WithT, f *fixture, next func(...string)) {
			f.digest = digestA
			f.edit(reflecting(v1.ReflectAlways))
			next("1.0.0")
			f.digest = digestB
			f.worker.digestDelays.clear(f.policy)
			next("1.0.0")
			f.edit(reflecting(v1.ReflectNever))
			next("1.0.0")
		}, "1.0.0 Initial; 1.0.0 PolicyChanged; 1.0.0 DigestMoved; 1.0.0 PolicyChanged"},
		{"another client removed the digest", func(_ *WithT, f *fixture, next func(...string)) {
			f.edit(reflecting(v1.ReflectIfNotPresent))
			next("1.0.0")
			f.policy.Status.LatestRef.Digest = ""
			next("1.0.0")
		}, "1.0.0 Initial; 1.0.0 PolicyChanged; 1.0.0 ; 1.0.0 PolicyChanged"},
		{"a user cleared the refs", func(_ *WithT, f *fixture, next func(...string)) {
			f.policy.Status.LatestRef, f.policy.Status.LatestImage = nil, ""
			next("1.0.0", "1.1.0")
		}, "1.0.0 Initial; 1.1.0 Initial"},
		{"the newest tag by first-seen time is deleted", func(_ *WithT, f *fixture, next func(...string)) {
			f.edit(func(spec *v1.ImagePolicySpec) {
				spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeFirstSeen}}
			})
			next("1.0.0", "zebra")
			next("1.0.0", "zebra", "yak")
			next("1.0.0", "zebra")
		}, "1.0.0 Initial; zebra PolicyChanged; yak NewTag; zebra TagGone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, f := NewWithT(t), newFixture(t)
				next := func(tags ...string) {
					sleep(time.Minute)
					f.tags = tags
					f.rescan(g, tags...)
					g.Expect(f.reconcile()).To(Succeed())
				}
				next("1.0.0")
				tt.steps(g, f, next)
				g.Expect(f.story()).To(Equal(tt.want))
				g.Expect(f.policy.Status.History[0].IsOf(f.policy.Status.LatestRef)).To(BeTrue())
			})
		})
	}
}

// TestHistory_NamesGatesThatPassed covers candidates that were pending or rejected, and images that
// no longer pass.
func TestHistory_NamesGatesThatPassed(t *testing.T) {
	t.Run("a young tag becomes old enough", func(t *testing.T) {
		gated(t, func(spec *v1.ImagePolicySpec) { spec.MinimumAge = &metav1.Duration{Duration: time.Hour} }, func(g *WithT, f *fixture) {
			f.push("1.0.0", "linux", "amd64", longAgo)
			f.rescan(g, "1.0.0")
			g.Expect(f.reconcile()).To(Succeed())
			sleep(time.Minute)
			f.push("1.1.0", "linux", "amd64", longAgo)
			f.rescan(g, "1.0.0", "1.1.0")
			g.Expect(f.reconcile()).To(Succeed())
			sleep(2 * time.Hour)
			g.Expect(f.reconcile()).To(Succeed())
			g.Expect(f.story()).To(Equal("1.0.0 Initial; 1.1.0 GatePassed"))
		})
	})
	t.Run("the tag moves to an unsigned image, to a signed one, and to one that is signed later", func(t *testing.T) {
		gated(t, func(spec *v1.ImagePolicySpec) {
			spec.Verify, spec.DigestReflectionPolicy = &v1.ImageVerification{Provider: v1.VerifyCosign}, v1.ReflectAlways
		}, func(g *WithT, f *fixture) {
			f.key = "alice"
			reconcileAfter := func(d time.Duration) {
				sleep(d)
				f.worker.digestDelays.clear(f.policy)
				g.Expect(f.reconcile()).To(Succeed())
			}
			f.signed = map[string]string{f.push("1.0.0", "linux", "amd64", longAgo): "alice"}
			f.rescan(g, "1.0.0")
			reconcileAfter(0)
			f.push("1.0.0", "linux", "arm64", longAgo)
			reconcileAfter(time.Minute)
			g.Expect(f.summary()).To(Equal("1.0.0; 1.0.0 Retained verify"))
			f.signed[f.push("1.0.0", "linux", "riscv64", longAgo)] = "alice"
			reconcileAfter(time.Minute)
			unsigned := f.push("1.0.0", "linux", "s390x", longAgo)
			reconcileAfter(time.Minute)
			g.Expect(f.summary()).To(Equal("1.0.0; 1.0.0 Retained verify"))
			f.signed[unsigned] = "alice"
			reconcileAfter(48 * time.Hour)
			g.Expect(f.story()).To(Equal("1.0.0 Initial; 1.0.0 DigestMoved; 1.0.0 GatePassed"))
		})
	})
	t.Run("the keys change, and the image of a tag disappears", func(t *testing.T) {
		gated(t, func(spec *v1.ImagePolicySpec) { spec.Verify = &v1.ImageVerification{Provider: v1.VerifyCosign} }, func(g *WithT, f *fixture) {
			f.key = "alice"
			f.signed = map[string]string{
				f.push("1.0.0", "linux", "amd64", longAgo): "bob", f.push("1.1.0", "linux", "amd64", longAgo): "bob", f.push("1.2.0", "linux", "amd64", longAgo): "alice",
			}
			f.rescan(g, "1.0.0", "1.1.0", "1.2.0")
			g.Expect(f.reconcile()).To(Succeed())
			f.key = "bob"
			g.Expect(f.reconcile()).To(Succeed())
			g.Expect(f.story()).To(Equal("1.2.0 Initial; 1.1.0 PolicyChanged"))
			delete(f.images, "1.1.0")
			f.edit(func(spec *v1.ImagePolicySpec) { spec.DigestReflectionPolicy = v1.ReflectAlways })
			f.worker.digestDelays.clear(f.policy)
			f.policy.Status.History[0].Generation, f.policy.Status.ObservedGeneration = f.policy.Generation, f.policy.Generation
			g.Expect(f.reconcile()).To(Succeed())
			g.Expect(f.story()).To(Equal("1.2.0 Initial; 1.1.0 PolicyChanged; 1.0.0 TagGone"))
		})
	})
}

// TestHistory_BeginsAtTheNextChange checks that an object of another version is not written for its
// history alone, and that the image that it selected is listed without time and reason.
func TestHistory_BeginsAtTheNextChange(t *testing.T) {
	g, f := NewWithT(t), newFixture(t)
	f.policy.Status = v1.ImagePolicyStatus{LatestImage: "ghcr.io/org/app:1.0.0", ObservedGeneration: 1}
	f.scanned(g, "1.0.0")
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.policy.Status.History).To(BeEmpty())
	before := f.policy.DeepCopy()
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.policy.Status).To(Equal(before.Status), "nothing to write")
	f.scanned(g, "1.0.0", "1.1.0")
	g.Expect(f.reconcile()).To(Succeed())
	history := f.policy.Status.History
	g.Expect(history).To(HaveLen(2))
	g.Expect(history[0]).To(And(HaveField("Tag", "1.1.0"), HaveField("Reason", v1.SelectedNewTag), HaveField("SelectedAt.Time", BeTemporally("~", time.Now(), 2*time.Second))))
	g.Expect(history[1]).To(Equal(v1.HistoryEntry{Name: "ghcr.io/org/app", Tag: "1.0.0"}))
}

func TestAddHistory_IsBounded(t *testing.T) {
	g := NewWithT(t)
	digest := "sha256:" + strings.Repeat("f", 64)
	for _, tt := range []struct{ nameLength, want int }{{20, v1.MaxHistory}, {255, 9}, {1000, 3}, {5000, 0}} {
		policy := &v1.ImagePolicy{}
		for i := range 30 {
			ref := image.NewRef(strings.Repeat("n", tt.nameLength), fmt.Sprint(i), digest)
			setLatest(change{policy: policy, ref: ref}, time.Now()) // with the refs removed, every cause is Initial
			content, err := json.Marshal(policy.Status.History)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(len(content)).To(BeNumerically("<=", 4096))
			policy.Status.LatestRef = nil
		}
		g.Expect(policy.Status.History).To(HaveLen(tt.want))
		if tt.want > 0 {
			g.Expect(policy.Status.History[0].Tag).To(Equal("29"), "the oldest entries are dropped")
		}
	}
}

// TestHistory_KeepsOrderIfTheClockGoesBack checks that the order is that of the changes, whatever
// the times are.
func TestHistory_KeepsOrderIfTheClockGoesBack(t *testing.T) {
	g, policy, now := NewWithT(t), &v1.ImagePolicy{}, time.Now()
	for i, at := range []time.Time{now, now, now.Add(-time.Hour)} { // two changes within a second
		setLatest(change{policy: policy, ref: image.NewRef("app", fmt.Sprint(i), "")}, at)
		policy.Status.LatestRef = nil
	}
	g.Expect(policy.Status.History).To(HaveExactElements(HaveField("Tag", "2"), HaveField("Tag", "1"), HaveField("Tag", "0")))
}

// TestWork_ReturnsOriginOfSelectedImage checks that what an image states is returned if its
// configuration was read for another purpose, without a request of its own.
func TestWork_ReturnsOriginOfSelectedImage(t *testing.T) {
	labels := map[string]string{
		"org.opencontainers.image.revision": "4f6b\x1b[31m2c", "org.opencontainers.image.source": "https://robot:hunter2@github.com/org/app",
	}
	want := conditions.Selection{Cause: v1.SelectedInitial, Revision: "4f6b[31m2c", Source: "https://github.com/org/app"}
	for name, tt := range map[string]struct {
		change   func(*v1.ImagePolicySpec)
		want     conditions.Selection
		requests int
	}{
		"platforms": {func(spec *v1.ImagePolicySpec) { spec.Platforms = []string{"linux/amd64"} }, want, 3},
		"newest": {func(spec *v1.ImagePolicySpec) {
			spec.Policy = v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: v1.TimeCreated}}
		}, want, 3},
		"nothing is read": {func(*v1.ImagePolicySpec) {}, conditions.Selection{Cause: v1.SelectedInitial}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			gated(t, tt.change, func(g *WithT, f *fixture) {
				f.pushLabelled("1.0.0", "linux", "amd64", longAgo, labels)
				f.rescan(g, "1.0.0")
				result, err := f.worker.Work(context.Background(), f.policy, noProgress)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(result.Selection).To(Equal(tt.want))
				g.Expect(f.receivedRequests()).To(HaveLen(tt.requests))
				result, err = f.worker.Work(context.Background(), f.policy, noProgress)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(result.Selection).To(BeZero(), "unchanged")
			})
		})
	}
}
