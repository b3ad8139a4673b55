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

// TestSelect_SlowPatternStopsAtTimeout shows that a pattern can't hold a worker for
// minutes, and that the policy keeps what it selected before.
func TestSelect_SlowPatternStopsAtTimeout(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.repo.Spec.Timeout = &metav1.Duration{Duration: time.Second}
	w.scanned(g, "1.0.0")
	g.Expect(w.settle()).To(Succeed())
	before := w.policy.Status.LatestRef.DeepCopy()

	w.policy.Spec.FilterTags = &v1.TagFilter{Pattern: "(x*a?x*a?){500}!"} // takes milliseconds for each tag
	tags := make([]string, 20_000)
	for i := range tags {
		tags[i] = fmt.Sprintf("%0100d", i) + strings.Repeat("a", 20)
	}
	w.scanned(g, tags...)
	start := time.Now()
	g.Expect(w.settle()).To(MatchError("no tag was selected within 1s, the timeout of ImageRepository 'ns/app' with its 20000 tags: " +
		"simplify the regular expression in spec.filterTags.pattern, or raise spec.timeout of the ImageRepository"))
	g.Expect(time.Since(start)).To(BeNumerically("<", 10*time.Second))
	g.Expect(w.policy.Status.LatestRef).To(Equal(before))
	g.Expect(w.asked()).To(BeEmpty(), "nothing is known to be missing")
	conditions := w.policy.Status.Conditions
	g.Expect(apimeta.FindStatusCondition(conditions, meta.ReadyCondition).Reason).To(Equal(v1.FailureReason))
	g.Expect(apimeta.FindStatusCondition(conditions, meta.ReconcilingCondition).Reason).To(Equal(meta.ProgressingWithRetryReason))
	g.Expect(apimeta.IsStatusConditionTrue(conditions, meta.StalledCondition)).To(BeFalse())

	w.policy.Spec.FilterTags.Pattern = "^1"
	w.scanned(g, "1.0.0", "1.1.0")
	g.Expect(w.settle()).To(Succeed())
	g.Expect(w.policy.Status.LatestRef.Tag).To(Equal("1.1.0"))
}

func TestSelect_StopsOnCancel(t *testing.T) {
	g := NewWithT(t)
	w := newFixture(t)
	w.scanned(g, "1.0.0")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	from := tagSource{repo: w.repo, snapshot: scan.Next(scan.Snapshot{}, "app", []string{"1.0.0"}, time.Now())}
	rule, err := selection.Compile(&w.policy.Spec)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = (&plainSelector{policy: w.policy, rule: rule, source: from}).selectBest(ctx)
	g.Expect(err).To(MatchError(context.Canceled))
}

// TestImagePolicy_IgnoresStoredReferrerTags stands for what was stored and selected before tags of
// referrers were left out: an attestation makes way for an image, or for nothing.
func TestImagePolicy_IgnoresStoredReferrerTags(t *testing.T) {
	attestation := "sha256-" + strings.Repeat("0a", 32) + ".att"
	for want, tags := range map[string][]string{"7e12345": {"7e12345", attestation}, "": {attestation}} {
		g := NewWithT(t)
		w := newFixture(t)
		w.policy.Spec.Policy = v1.ImagePolicyChoice{Alphabetical: &v1.AlphabeticalPolicy{}}
		w.policy.Spec.DigestReflectionPolicy = v1.ReflectNever
		w.policy.Status.LatestRef = image.NewRef(w.repo.Spec.Image, attestation, "")
		w.scanned(g, tags...)
		err := w.settle()
		if want == "" {
			g.Expect(err).To(MatchError(ContainSubstring("is the tag of a signature, attestation or referrers list of another image")))
			continue
		}
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(w.policy.Status.LatestRef.Tag).To(Equal(want))
		g.Expect(w.asked()).To(BeEmpty(), "whether the attestation is still there, does not matter")
	}
}
