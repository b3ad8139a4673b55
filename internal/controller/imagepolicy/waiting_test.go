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
		{"no such repository", func(f *fixture) { f.policy.Spec.ImageRepositoryRef.Name = "none" },
			meta.DependencyNotReadyReason, "ImageRepository 'ns/none' not found: create it, or correct spec.imageRepositoryRef"},
		{"not scanned", func(*fixture) {}, meta.DependencyNotReadyReason, "a scan is pending"},
		{"not scanned and suspended", func(f *fixture) { f.repo.Spec.Suspend = true }, meta.DependencyNotReadyReason, "its scans are suspended"},
		{"a repository that is not shared", func(f *fixture) { f.policy.Namespace, f.policy.Spec.ImageRepositoryRef.Namespace = "other", "ns" },
			acl.AccessDeniedReason, "no namespace selector of its spec.accessFrom matches the labels of namespace 'other'"},
		{"references to other namespaces are disabled", func(f *fixture) {
			f.policy.Namespace, f.policy.Spec.ImageRepositoryRef.Namespace = "other", "ns"
			f.worker.Access.NoCrossNamespaceRefs = true
		}, acl.AccessDeniedReason, "references to other namespaces are disabled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t)
			tc.change(f)
			reader := newReader(t, f.repo)
			f.worker.Reader, f.worker.Access.Reader = reader, reader
			waiting, ok := errors.AsType[*conditions.WaitingError](f.reconcile())
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
		name     string
		change   func(*fixture)
		deferred bool
	}{
		{"both are new", func(*fixture) {}, true},
		{"the repository is new", func(f *fixture) { f.policy.CreationTimestamp = long }, true},
		{"the policy is new", func(f *fixture) { f.repo.CreationTimestamp = long }, true},
		{"both are old", func(f *fixture) { f.policy.CreationTimestamp, f.repo.CreationTimestamp = long, long }, false},
		{"the repository has conditions", func(f *fixture) { f.repo.Status.Conditions = ready }, false},
		{"the policy has conditions", func(f *fixture) { f.policy.Status.Conditions = ready }, false},
		{"the policy has a result", func(f *fixture) { f.policy.Status.LatestRef = &v1.ImageRef{Name: "a", Tag: "b"} }, false},
		{"the repository is suspended", func(f *fixture) { f.repo.Spec.Suspend = true }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t)
			f.policy.CreationTimestamp, f.repo.CreationTimestamp = now, now
			tc.change(f)
			reader := newReader(t, f.repo)
			f.worker.Reader, f.worker.Access.Reader = reader, reader
			deferredErr, deferred := errors.AsType[*conditions.DeferredError](f.reconcile())
			g.Expect(deferred).To(Equal(tc.deferred))
			if deferred {
				g.Expect(deferredErr.After).To(BeNumerically("~", initialGracePeriod, time.Minute))
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
		{"an invalid range", func(f *fixture) { f.policy.Spec.Policy.SemVer.Range = ">>1" }, v1.InvalidPolicyReason},
		{"an invalid pattern", func(f *fixture) { f.policy.Spec.FilterTags = &v1.TagFilter{Pattern: "("} }, v1.InvalidPolicyReason},
		{"no policy", func(f *fixture) { f.policy.Spec.Policy = v1.ImagePolicyChoice{} }, v1.InvalidPolicyReason},
		{"an invalid image", func(f *fixture) { f.repo.Spec.Image = "https://x" }, v1.ImageURLInvalidReason},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t)
			f.scanned(g, "1.0.0")
			g.Expect(f.reconcile()).To(Succeed())
			before := f.policy.Status.LatestRef.DeepCopy()
			tc.change(f)
			f.worker.Reader = newReader(t, f.repo)
			stalled, ok := errors.AsType[*conditions.StalledError](f.reconcile())
			g.Expect(ok).To(BeTrue())
			g.Expect(stalled.Reason).To(Equal(tc.reason))
			g.Expect(f.policy.Status.LatestRef).To(Equal(before))
		})
	}
}

func TestImagePolicy_ReportsNoTagSelected(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.scanned(g)
	g.Expect(f.reconcile()).To(MatchError(ContainSubstring("has no image tags")))
	f.scanned(g, "latest", "0.1.0")
	err := f.reconcile()
	g.Expect(err).To(MatchError(ContainSubstring("none of the 2 tags")))
	waiting, ok := errors.AsType[*conditions.WaitingError](err)
	g.Expect(ok).To(BeTrue())
	g.Expect(waiting.Reason).To(Equal(v1.NoTagSelectedReason))
	g.Expect(waiting.After).To(BeZero(), "new tags trigger the next reconcile")
}

func TestBusyRegistry_DefersWithoutSideEffects(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.scanned(g, "1.0.0")
	f.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	f.busy = &ratelimit.BusyError{Host: "ghcr.io", After: time.Second}
	progress := func(string) { panic("no progress is reported before a request") }
	auth := registry.AuthOptionsGetter(func(context.Context, *v1.ImageRepository) (registry.AuthOptions, error) {
		panic("credentials are read only when a request will be sent")
	})
	f.worker.Auth = auth
	for name, work := range map[string]func() (conditions.Result, error){
		"a digest": func() (conditions.Result, error) { return f.worker.Work(context.Background(), f.policy, progress) },
		"a tag that is not listed": func() (conditions.Result, error) {
			f.policy.Status.LatestRef = &v1.ImageRef{Name: f.repo.Spec.Image, Image: f.repo.Spec.Image, Tag: "2.0.0"}
			return f.worker.Work(context.Background(), f.policy, progress)
		},
	} {
		_, err := work()
		g.Expect(err).To(Equal(conditions.Deferred(time.Second, f.busy)), name)
	}
	g.Expect(f.receivedRequests()).To(BeEmpty())
}

func TestTicket_IsReleasedAfterWork(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.tags = []string{"1.0.0"}
	f.scanned(g, f.tags...)
	f.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	for _, down := range []error{nil, errors.New("down")} {
		f.down = down
		_, _ = f.worker.Work(context.Background(), f.policy, noProgress)
		g.Expect(f.tickets).To(BeZero())
	}
	g.Expect(f.receivedRequests()).To(HaveLen(2))
}
