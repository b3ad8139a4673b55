// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

func TestImagePolicy_FetchesDigestOfSelectedTagOnly(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.scanned(g, "1.0.0", "1.2.0", "1.1.0", "0.9.0")

	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.policy.Status.LatestRef).To(Equal(image.NewRef("ghcr.io/org/app", "1.2.0", "")))
	g.Expect(f.receivedRequests()).To(BeEmpty(), "Never sends no request")

	f.policy.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.policy.Status.LatestRef.Digest).To(Equal("sha256:one"))
	g.Expect(f.receivedRequests()).To(Equal([]string{"digest 1.2.0"}), "once")

	f.digest = "sha256:two"
	f.policy.Generation, f.policy.Spec.DigestReflectionPolicy = 2, v1.ReflectAlways
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.policy.Status.LatestRef.Digest).To(Equal("sha256:two"))
	g.Expect(f.policy.Status.ObservedPreviousRef.Digest).To(Equal("sha256:one"))
	g.Expect(f.receivedRequests()).To(Equal([]string{"digest 1.2.0", "digest 1.2.0"}), "at every reconcile")

	f.policy.Spec.DigestReflectionPolicy = v1.ReflectNever
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.policy.Status.LatestRef.Digest).To(BeEmpty())
	g.Expect(f.receivedRequests()).To(BeEmpty())
}

func TestImagePolicy_KeepsRefsIfDigestFails(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	f.scanned(g, "1.0.0")
	g.Expect(f.reconcile()).To(Succeed())
	before := f.policy.DeepCopy()

	f.scanned(g, "1.0.0", "1.1.0")
	f.down = errors.New("registry down")
	g.Expect(f.reconcile()).To(MatchError(f.down))
	g.Expect(f.policy.Status.LatestRef).To(Equal(before.Status.LatestRef))
	g.Expect(apimeta.IsStatusConditionFalse(f.policy.Status.Conditions, meta.ReadyCondition)).To(BeTrue())
}

func TestImagePolicy_DelaysDigestAfterRestart(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	f.scanned(g, "1.0.0")
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.receivedRequests()).To(HaveLen(1))

	f.worker.digestDelays = digestDelays{} // a new process
	result, err := f.worker.Work(context.Background(), f.policy, noProgress)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(f.receivedRequests()).To(BeEmpty(), "the digest is up to date")
	g.Expect(result.After).To(And(BeNumerically(">", 0), BeNumerically("<=", v1.DefaultReflectionInterval)))

	f.policy.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.receivedRequests()).To(HaveLen(1), "a reconcile request is not delayed")
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.receivedRequests()).To(HaveLen(1), "the delay has ended")
}

func TestImagePolicy_DowngradesOnlyIfTagIsDeleted(t *testing.T) {
	for _, tc := range []struct {
		reason   string
		listed   []string
		exists   []string
		change   func(*fixture)
		want     string
		requests []string
	}{
		{"a better tag needs no confirmation", []string{"1.0.0", "1.3.0"}, nil, nil, "1.3.0", nil},
		{"the list lacks the tag", []string{"1.0.0"}, []string{"1.2.0"}, nil, "1.2.0", []string{"head 1.2.0"}},
		{"the tag was deleted", []string{"1.0.0"}, []string{"1.0.0"}, nil, "1.0.0", []string{"head 1.2.0"}},
		{"the list is empty", nil, []string{"1.2.0"}, nil, "1.2.0", []string{"head 1.2.0"}},
		{"the rule rejects the tag", []string{"1.0.0"}, []string{"1.2.0"}, func(f *fixture) {
			f.policy.Spec.Policy.SemVer.Range = "<1.1.0"
		}, "1.0.0", nil},
		{"an exclusion matches the tag", []string{"1.0.0"}, []string{"1.2.0"}, func(f *fixture) {
			f.repo.Spec.ExclusionList = []string{`^1\.2\.`}
			f.worker.Reader = nil
		}, "1.0.0", nil},
		{"the current tag is of another image", []string{"1.0.0"}, []string{"1.2.0"}, func(f *fixture) {
			f.policy.Status.LatestRef = image.NewRef("ghcr.io/org/other", "1.2.0", "")
		}, "1.0.0", nil},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t)
			f.tags = tc.exists
			f.policy.Status.LatestRef = image.NewRef("ghcr.io/org/app", "1.2.0", "")
			if tc.change != nil {
				tc.change(f)
				f.worker.Reader = newReader(t, f.repo)
			}
			f.scanned(g, tc.listed...)
			g.Expect(f.reconcile()).To(Succeed())
			g.Expect(f.policy.Status.LatestRef.Tag).To(Equal(tc.want))
			g.Expect(f.receivedRequests()).To(Equal(tc.requests))
		})
	}
}

// TestImagePolicy_IgnoresStaleTags checks that outdated tags are not used: those of a restored
// storage, or of a replica that was not the leader for a while.
func TestImagePolicy_IgnoresStaleTags(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.scanned(g, "1.0.0", "1.2.0")
	stale, err := f.store.Get(context.Background(), reconcile.StoreKey(f.repo))
	g.Expect(err).NotTo(HaveOccurred())
	f.tags = []string{"1.0.0"}
	f.scanned(g, f.tags...)
	g.Expect(f.reconcile()).To(Succeed())

	g.Expect(f.store.Put(context.Background(), reconcile.StoreKey(f.repo), stale)).To(Succeed())
	g.Expect(f.reconcile()).To(MatchError(ContainSubstring("a scan is pending")))
	g.Expect(f.policy.Status.LatestRef.Tag).To(Equal("1.0.0"), "1.2.0 was deleted since")
	g.Expect(apimeta.IsStatusConditionTrue(f.policy.Status.Conditions, meta.ReadyCondition)).To(BeTrue(), "the last result is still valid")
}

// TestImagePolicy_UsesCredentialsOfScannedImage checks that requests for the scanned image don't
// use the credentials of the new spec.image.
func TestImagePolicy_UsesCredentialsOfScannedImage(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	var credentialsOf []string
	f.worker.Auth = registry.AuthOptionsGetter(func(_ context.Context, repo *v1.ImageRepository) (registry.AuthOptions, error) {
		credentialsOf = append(credentialsOf, repo.Spec.Image)
		return registry.AuthOptions{}, nil
	})
	f.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	f.scanned(g, "1.0.0")
	g.Expect(f.reconcile()).To(Succeed())

	f.repo.Spec.Image = "ghcr.io/org/new"
	f.saveRepository(g)
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.receivedRequests()).To(Equal([]string{"digest 1.0.0"}), "the current digest is kept until the new image is scanned")

	f.policy.Status.LatestRef = nil
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(credentialsOf).To(Equal([]string{"ghcr.io/org/app", "ghcr.io/org/app"}), "the scanned image")
}

func TestImagePolicy_RechecksUnlistedTag(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.tags = []string{"1.2.0"}
	f.policy.Status.LatestRef = image.NewRef("ghcr.io/org/app", "1.2.0", "")
	f.scanned(g, "1.0.0")
	result, err := f.worker.Work(context.Background(), f.policy, noProgress)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(result.After).To(Equal(time.Hour), "at the interval of scans")

	f.tags = nil
	result, err = f.worker.Work(context.Background(), f.policy, noProgress)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(f.policy.Status.LatestRef.Tag).To(Equal("1.0.0"))
	g.Expect(result.After).To(BeZero())
}

func TestImagePolicy_StaysReadyIfConfirmationFails(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.scanned(g, "1.2.0")
	g.Expect(f.reconcile()).To(Succeed())
	f.scanned(g, "1.0.0")
	f.down = errors.New("registry down")
	err := f.reconcile()
	waiting, ok := errors.AsType[*conditions.WaitingError](err)
	g.Expect(ok).To(BeTrue())
	g.Expect(waiting.After).To(Equal(30 * time.Second))
	ready := apimeta.FindStatusCondition(f.policy.Status.Conditions, meta.ReadyCondition)
	g.Expect(ready.Status).To(Equal(metav1.ConditionTrue))
	g.Expect(ready.Message).To(And(ContainSubstring("stays 1.2.0"), ContainSubstring("registry down")))
}
