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
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

func TestImagePolicy_FetchesDigestOfSelectedTagOnly(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.scanned(g, "1.0.0", "1.2.0", "1.1.0", "0.9.0")

	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.policy.Status.LatestRef).To(Equal(image.NewRef("ghcr.io/org/app", "1.2.0", "")))
	g.Expect(w.asked()).To(BeEmpty(), "Never asks nothing")

	w.policy.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.policy.Status.LatestRef.Digest).To(Equal("sha256:one"))
	g.Expect(w.asked()).To(Equal([]string{"digest 1.2.0"}), "once")

	w.digest = "sha256:two"
	w.policy.Generation, w.policy.Spec.DigestReflectionPolicy = 2, v1.ReflectAlways
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.policy.Status.LatestRef.Digest).To(Equal("sha256:two"))
	g.Expect(w.policy.Status.ObservedPreviousRef.Digest).To(Equal("sha256:one"))
	g.Expect(w.asked()).To(Equal([]string{"digest 1.2.0", "digest 1.2.0"}), "at every reconcile")

	w.policy.Spec.DigestReflectionPolicy = v1.ReflectNever
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.policy.Status.LatestRef.Digest).To(BeEmpty())
	g.Expect(w.asked()).To(BeEmpty())
}

func TestImagePolicy_KeepsRefsIfDigestFails(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	w.scanned(g, "1.0.0")
	g.Expect(w.settle()).To(Succeed())
	before := w.policy.DeepCopy()

	w.scanned(g, "1.0.0", "1.1.0")
	w.down = errors.New("registry down")
	g.Expect(w.settle()).To(MatchError(w.down))
	g.Expect(w.policy.Status.LatestRef).To(Equal(before.Status.LatestRef))
	g.Expect(apimeta.IsStatusConditionFalse(w.policy.Status.Conditions, meta.ReadyCondition)).To(BeTrue())
}

func TestImagePolicy_DelaysDigestAfterRestart(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	w.scanned(g, "1.0.0")
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.asked()).To(HaveLen(1))

	w.policies.digestDelays = digestDelays{} // as a new process begins
	result, err := w.policies.Work(context.Background(), w.policy, noBegin)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(w.asked()).To(BeEmpty(), "it was up to date")
	g.Expect(result.After).To(And(BeNumerically(">", 0), BeNumerically("<=", v1.DefaultReflectionInterval)))

	w.policy.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.asked()).To(HaveLen(1), "a request is not put off")
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.asked()).To(HaveLen(1), "and ends the rest")
}

func TestImagePolicy_DowngradesOnlyIfTagIsDeleted(t *testing.T) {
	for _, tc := range []struct {
		reason   string
		listed   []string
		has      []string
		change   func(*fixture)
		want     string
		requests []string
	}{
		{"a better tag needs no question", []string{"1.0.0", "1.3.0"}, nil, nil, "1.3.0", nil},
		{"a list that lacks the tag moves nothing", []string{"1.0.0"}, []string{"1.2.0"}, nil, "1.2.0", []string{"head 1.2.0"}},
		{"a tag that is gone is given up", []string{"1.0.0"}, []string{"1.0.0"}, nil, "1.0.0", []string{"head 1.2.0"}},
		{"an empty list moves nothing", nil, []string{"1.2.0"}, nil, "1.2.0", []string{"head 1.2.0"}},
		{"a rule that refuses the tag is obeyed", []string{"1.0.0"}, []string{"1.2.0"}, func(w *fixture) {
			w.policy.Spec.Policy.SemVer.Range = "<1.1.0"
		}, "1.0.0", nil},
		{"an exclusion that refuses the tag is obeyed", []string{"1.0.0"}, []string{"1.2.0"}, func(w *fixture) {
			w.repo.Spec.ExclusionList = []string{`^1\.2\.`}
			w.policies.Reader = nil
		}, "1.0.0", nil},
		{"another image is another matter", []string{"1.0.0"}, []string{"1.2.0"}, func(w *fixture) {
			w.policy.Status.LatestRef = image.NewRef("ghcr.io/org/other", "1.2.0", "")
		}, "1.0.0", nil},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			g := NewWithT(t)
			w := newFixture(t)
			w.tags = tc.has
			w.policy.Status.LatestRef = image.NewRef("ghcr.io/org/app", "1.2.0", "")
			if tc.change != nil {
				tc.change(w)
				w.policies.Reader = newReader(t, w.repo)
			}
			w.scanned(g, tc.listed...)
			g.Expect(w.settle()).To(Succeed())
			g.Expect(w.policy.Status.LatestRef.Tag).To(Equal(tc.want))
			g.Expect(w.asked()).To(Equal(tc.requests))
		})
	}
}

// TestImagePolicy_IgnoresStaleTags shows what becomes of a storage that was
// restored, or of that of a replica which did not lead for a while.
func TestImagePolicy_IgnoresStaleTags(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.scanned(g, "1.0.0", "1.2.0")
	stale, err := w.store.Get(context.Background(), store.KeyOf(w.repo))
	g.Expect(err).NotTo(HaveOccurred())
	w.tags = []string{"1.0.0"}
	w.scanned(g, w.tags...)
	g.Expect(w.settle()).To(Succeed())

	g.Expect(w.store.Put(context.Background(), store.KeyOf(w.repo), stale)).To(Succeed())
	g.Expect(w.settle()).To(MatchError(ContainSubstring("a scan is still to come")))
	g.Expect(w.policy.Status.LatestRef.Tag).To(Equal("1.0.0"), "1.2.0 is gone since")
	g.Expect(apimeta.IsStatusConditionTrue(w.policy.Status.Conditions, meta.ReadyCondition)).To(BeTrue(), "the last result is still good")
}

// TestImagePolicy_UsesCredentialsOfScannedImage shows that nothing is asked about the tags of
// the old image under the identity that is meant for the new one.
func TestImagePolicy_UsesCredentialsOfScannedImage(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	var asked []string
	w.policies.Auth = registry.AuthOptionsGetter(func(_ context.Context, repo *v1.ImageRepository) (registry.AuthOptions, error) {
		asked = append(asked, repo.Spec.Image)
		return registry.AuthOptions{}, nil
	})
	w.policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	w.scanned(g, "1.0.0")
	g.Expect(w.settle()).To(Succeed())

	w.repo.Spec.Image = "ghcr.io/org/new"
	w.saveRepository(g)
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.asked()).To(Equal([]string{"digest 1.0.0"}), "the digest that is held will do until the new image is scanned")

	w.policy.Status.LatestRef = nil
	g.Expect(w.settle()).To(Succeed())
	g.Expect(asked).To(Equal([]string{"ghcr.io/org/app", "ghcr.io/org/app"}), "credentials are those for the image that is asked about")
}

func TestImagePolicy_RechecksUnlistedTag(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.tags = []string{"1.2.0"}
	w.policy.Status.LatestRef = image.NewRef("ghcr.io/org/app", "1.2.0", "")
	w.scanned(g, "1.0.0")
	result, err := w.policies.Work(context.Background(), w.policy, noBegin)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(result.After).To(Equal(time.Hour), "as often as tags are scanned")

	w.tags = nil
	result, err = w.policies.Work(context.Background(), w.policy, noBegin)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(w.policy.Status.LatestRef.Tag).To(Equal("1.0.0"))
	g.Expect(result.After).To(BeZero())
}

func TestImagePolicy_StaysReadyIfConfirmationFails(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.scanned(g, "1.2.0")
	g.Expect(w.settle()).To(Succeed())
	w.scanned(g, "1.0.0")
	w.down = errors.New("registry down")
	err := w.settle()
	waiting, ok := errors.AsType[*conditions.WaitingError](err)
	g.Expect(ok).To(BeTrue())
	g.Expect(waiting.After).To(Equal(30 * time.Second))
	ready := apimeta.FindStatusCondition(w.policy.Status.Conditions, meta.ReadyCondition)
	g.Expect(ready.Status).To(Equal(metav1.ConditionTrue))
	g.Expect(ready.Message).To(And(ContainSubstring("stays 1.2.0"), ContainSubstring("registry down")))
}
