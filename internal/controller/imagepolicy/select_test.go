// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// TestSelect_SlowPatternStopsAtTimeout checks that a slow pattern can't block a worker for minutes,
// and that the latest image stays unchanged.
func TestSelect_SlowPatternStopsAtTimeout(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.repo.Spec.Timeout = &metav1.Duration{Duration: time.Second}
	f.scanned(g, "1.0.0")
	g.Expect(f.reconcile()).To(Succeed())
	before := f.policy.Status.LatestRef.DeepCopy()

	f.policy.Spec.FilterTags = &v1.TagFilter{Pattern: "(x*a?x*a?){500}!"} // takes milliseconds for each tag
	tags := make([]string, 20_000)
	for i := range tags {
		tags[i] = fmt.Sprintf("%0100d", i) + strings.Repeat("a", 20)
	}
	f.scanned(g, tags...)
	start := time.Now()
	g.Expect(f.reconcile()).To(MatchError("no tag was selected within 1s, the timeout of ImageRepository 'ns/app' with its 20000 tags: " +
		"simplify the regular expression in spec.filterTags.pattern, or raise spec.timeout of the ImageRepository"))
	g.Expect(time.Since(start)).To(BeNumerically("<", 10*time.Second))
	g.Expect(f.policy.Status.LatestRef).To(Equal(before))
	g.Expect(f.receivedRequests()).To(BeEmpty(), "no tag needs confirmation")
	conditions := f.policy.Status.Conditions
	g.Expect(apimeta.FindStatusCondition(conditions, meta.ReadyCondition).Reason).To(Equal(v1.FailureReason))
	g.Expect(apimeta.FindStatusCondition(conditions, meta.ReconcilingCondition).Reason).To(Equal(meta.ProgressingWithRetryReason))
	g.Expect(apimeta.IsStatusConditionTrue(conditions, meta.StalledCondition)).To(BeFalse())

	f.policy.Spec.FilterTags.Pattern = "^1"
	f.scanned(g, "1.0.0", "1.1.0")
	g.Expect(f.reconcile()).To(Succeed())
	g.Expect(f.policy.Status.LatestRef.Tag).To(Equal("1.1.0"))
}

func TestSelect_StopsOnCancel(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t)
	f.scanned(g, "1.0.0")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	source := newTagSource(f.repo, scan.Next(scan.Snapshot{}, "app", []string{"1.0.0"}, time.Now()), image.Name{})
	rule, err := selection.Compile(&f.policy.Spec)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = (&plainSelector{policy: f.policy, rule: rule, source: source}).selectBest(ctx)
	g.Expect(err).To(MatchError(context.Canceled))
}

// TestImagePolicy_IgnoresStoredReferrerTags checks that a stored and selected attestation, from
// versions that did not exclude tags of referrers, is replaced by an image, or by no tag.
func TestImagePolicy_IgnoresStoredReferrerTags(t *testing.T) {
	attestation := "sha256-" + strings.Repeat("0a", 32) + ".att"
	for want, tags := range map[string][]string{"7e12345": {"7e12345", attestation}, "": {attestation}} {
		g := NewWithT(t)
		f := newFixture(t)
		f.policy.Spec.Policy = v1.ImagePolicyChoice{Alphabetical: &v1.AlphabeticalPolicy{}}
		f.policy.Spec.DigestReflectionPolicy = v1.ReflectNever
		f.policy.Status.LatestRef = image.NewRef(f.repo.Spec.Image, attestation, "")
		f.scanned(g, tags...)
		err := f.reconcile()
		if want == "" {
			g.Expect(err).To(MatchError(ContainSubstring("is the tag of a signature, attestation or referrers list of another image")))
			continue
		}
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(f.policy.Status.LatestRef.Tag).To(Equal(want))
		g.Expect(f.receivedRequests()).To(BeEmpty(), "the attestation needs no confirmation")
	}
}
