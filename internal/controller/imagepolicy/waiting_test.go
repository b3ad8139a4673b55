// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
)

func TestImagePolicy_WaitsForRepository(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(*fixture)
		reason  string
		message string
	}{
		{"no such repository", func(w *fixture) { w.policy.Spec.ImageRepositoryRef.Name = "none" },
			meta.DependencyNotReadyReason, "ImageRepository 'ns/none' not found: create it, or correct spec.imageRepositoryRef"},
		{"never scanned", func(*fixture) {}, meta.DependencyNotReadyReason, "a scan is still to come"},
		{"never scanned and suspended", func(w *fixture) { w.repo.Spec.Suspend = true }, meta.DependencyNotReadyReason, "its scans are suspended"},
		{"other namespace that shares nothing", func(w *fixture) { w.policy.Namespace, w.policy.Spec.ImageRepositoryRef.Namespace = "other", "ns" },
			acl.AccessDeniedReason, "no namespace selector of its spec.accessFrom matches the labels of namespace 'other'"},
		{"other namespaces are forbidden", func(w *fixture) {
			w.policy.Namespace, w.policy.Spec.ImageRepositoryRef.Namespace = "other", "ns"
			w.policies.Access.NoCrossNamespaceRefs = true
		}, acl.AccessDeniedReason, "references to other namespaces are disabled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			w := newFixture(t)
			tc.change(w)
			reader := newReader(t, w.repo)
			w.policies.Reader, w.policies.Access.Reader = reader, reader
			waiting, ok := errors.AsType[*conditions.WaitingError](w.settle())
			g.Expect(ok).To(BeTrue())
			g.Expect(waiting.Reason).To(Equal(tc.reason))
			g.Expect(waiting.Error()).To(ContainSubstring(tc.message))
			g.Expect(waiting.After).To(Equal(30 * time.Second))
		})
	}
}

func TestImagePolicy_WritesNoStatusDuringGracePeriod(t *testing.T) {
	now := metav1.Now()
	long := metav1.NewTime(now.Add(-2 * initialGracePeriod))
	ready := []metav1.Condition{{Type: meta.ReadyCondition, Status: metav1.ConditionUnknown, Reason: meta.ProgressingReason}}
	for _, tc := range []struct {
		name   string
		change func(*fixture)
		quiet  bool
	}{
		{"both are new", func(*fixture) {}, true},
		{"the repository is new", func(w *fixture) { w.policy.CreationTimestamp = long }, true},
		{"the policy is new", func(w *fixture) { w.repo.CreationTimestamp = long }, true},
		{"both have waited long", func(w *fixture) { w.policy.CreationTimestamp, w.repo.CreationTimestamp = long, long }, false},
		{"the repository says something", func(w *fixture) { w.repo.Status.Conditions = ready }, false},
		{"the policy said something", func(w *fixture) { w.policy.Status.Conditions = ready }, false},
		{"the policy has a result", func(w *fixture) { w.policy.Status.LatestRef = &v1.ImageRef{Name: "a", Tag: "b"} }, false},
		{"the repository is suspended", func(w *fixture) { w.repo.Spec.Suspend = true }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			w := newFixture(t)
			w.policy.CreationTimestamp, w.repo.CreationTimestamp = now, now
			tc.change(w)
			reader := newReader(t, w.repo)
			w.policies.Reader, w.policies.Access.Reader = reader, reader
			deferred, quiet := errors.AsType[*conditions.DeferredError](w.settle())
			g.Expect(quiet).To(Equal(tc.quiet))
			if quiet {
				g.Expect(deferred.After).To(BeNumerically("~", initialGracePeriod, time.Minute))
			}
		})
	}
}

func TestImagePolicy_StallsOnInvalidSpec(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*fixture)
		reason string
	}{
		{"a range that does not parse", func(w *fixture) { w.policy.Spec.Policy.SemVer.Range = ">>1" }, v1.InvalidPolicyReason},
		{"a pattern that does not parse", func(w *fixture) { w.policy.Spec.FilterTags = &v1.TagFilter{Pattern: "("} }, v1.InvalidPolicyReason},
		{"no policy", func(w *fixture) { w.policy.Spec.Policy = v1.ImagePolicyChoice{} }, v1.InvalidPolicyReason},
		{"an image that does not parse", func(w *fixture) { w.repo.Spec.Image = "https://x" }, v1.ImageURLInvalidReason},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			w := newFixture(t)
			w.scanned(g, "1.0.0")
			g.Expect(w.settle()).To(Succeed())
			before := w.policy.Status.LatestRef.DeepCopy()
			tc.change(w)
			w.policies.Reader = newReader(t, w.repo)
			stalled, ok := errors.AsType[*conditions.StalledError](w.settle())
			g.Expect(ok).To(BeTrue())
			g.Expect(stalled.Reason).To(Equal(tc.reason))
			g.Expect(w.policy.Status.LatestRef).To(Equal(before))
		})
	}
}

func TestImagePolicy_ReportsNoTagSelected(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.scanned(g)
	g.Expect(w.settle()).To(MatchError(ContainSubstring("has no tags")))
	w.scanned(g, "latest", "0.1.0")
	err := w.settle()
	g.Expect(err).To(MatchError(ContainSubstring("none of the 2 tags")))
	waiting, ok := errors.AsType[*conditions.WaitingError](err)
	g.Expect(ok).To(BeTrue())
	g.Expect(waiting.Reason).To(Equal(v1.NoTagSelectedReason))
	g.Expect(waiting.After).To(BeZero(), "new tags wake it")
}

func TestBusyRegistry_DefersWithoutSideEffects(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.scanned(g, "1.0.0")
	w.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	w.busy = &ratelimit.BusyError{Host: "ghcr.io", After: time.Second}
	begun := func(string) { panic("nothing is begun that can't go on") }
	failing := registry.AuthOptionsGetter(func(context.Context, *v1.ImageRepository) (registry.AuthOptions, error) {
		panic("no credentials are read in vain")
	})
	w.policies.Auth = failing
	for name, work := range map[string]func() (conditions.Result, error){
		"a digest": func() (conditions.Result, error) { return w.policies.Work(context.Background(), w.policy, begun) },
		"a tag that is not listed": func() (conditions.Result, error) {
			w.policy.Status.LatestRef = &v1.ImageRef{Name: w.repo.Spec.Image, Image: w.repo.Spec.Image, Tag: "2.0.0"}
			return w.policies.Work(context.Background(), w.policy, begun)
		},
	} {
		_, err := work()
		g.Expect(err).To(Equal(conditions.Deferred(time.Second, w.busy)), name)
	}
	g.Expect(w.asked()).To(BeEmpty())
}

func TestTicket_IsReleasedAfterWork(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.tags = []string{"1.0.0"}
	w.scanned(g, w.tags...)
	w.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	for _, down := range []error{nil, errors.New("down")} {
		w.down = down
		_, _ = w.policies.Work(context.Background(), w.policy, noBegin)
		g.Expect(w.inside).To(BeZero())
	}
	g.Expect(w.asked()).To(HaveLen(2))
}
