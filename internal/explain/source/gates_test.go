// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/source"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// fakeImages has an image for each tag, whose digest digestOf returns. It maps digests to signers.
type fakeImages map[string]string

func digestOf(tag string) string { return "sha256:" + strings.Repeat(tag[2:3], 64) }

func (fakeImages) Digest(_ context.Context, tag string) (string, error) {
	return digestOf(tag), nil
}

func (fakeImages) Read(context.Context, string, admission.ReadOptions) (admission.ImageInfo, error) {
	return admission.ImageInfo{}, errors.New("no image is expected to be read")
}

func (f fakeImages) Verify(_ context.Context, digest string, _ time.Time) (string, string, error) {
	switch signer := f[digest]; signer {
	case "":
		return "", "has no signature", nil
	case "down":
		return "", "", errors.New("the log can't be reached")
	default:
		return signer, "", nil
	}
}

// evaluate evaluates the tags of a repository by a policy in a cluster.
func evaluate(t *testing.T, images fakeImages, policy *v1.ImagePolicy, rule, tag string) (*explain.GateResults, error) {
	t.Helper()
	c := &explain.Case{Policy: policy, Repository: &v1.ImageRepository{Spec: v1.ImageRepositorySpec{Image: "example.com/app"}}}
	policy.Spec.Policy.SemVer = &v1.SemVerPolicy{Range: "1.x"}
	NewWithT(t).Expect(c.Compile()).To(Succeed())
	ranking := c.Ranking(explain.Listing{Tags: []string{"1.0.0", "1.1.0", "1.2.0"}})
	return source.EvaluateGates(t.Context(), images, c.Admission(rule, "", now), slices.Collect(ranking), tag)
}

// TestEvaluateGates_SelectsSignedImage checks that the requested tag is evaluated too, and that
// failures of the verification are returned.
func TestEvaluateGates_SelectsSignedImage(t *testing.T) {
	g := NewWithT(t)
	images := fakeImages{digestOf("1.1.0"): "ann"}
	results, err := evaluate(t, images, &v1.ImagePolicy{}, "rule", "1.0.0")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(results).To(Equal(&explain.GateResults{By: explain.ByExplain, Complete: true, Evaluated: []v1.CandidateStatus{
		{Tag: "1.2.0", Digest: digestOf("1.2.0"), Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature"},
		{Tag: "1.1.0", Digest: digestOf("1.1.0"), Verdict: v1.CandidatePassed, Message: "signed by ann"},
		{Tag: "1.0.0", Digest: digestOf("1.0.0"), Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature"},
	}}))

	images[digestOf("1.2.0")] = "down"
	_, err = evaluate(t, images, &v1.ImagePolicy{}, "rule", "")
	g.Expect(err).To(MatchError(ContainSubstring("the log can't be reached")))
}

// TestEvaluateGates_TakesAgeFromStatus checks that explain evaluates the age of images, which only
// the controller records, by the status.
func TestEvaluateGates_TakesAgeFromStatus(t *testing.T) {
	const old = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for _, tt := range []struct {
		reason string
		change func(latest *v1.ImageRef, observed *v1.CandidateStatus)
		want   []v1.CandidateVerdict
	}{
		{"a pending image is too young, and the current one passes", func(*v1.ImageRef, *v1.CandidateStatus) {}, []v1.CandidateVerdict{v1.CandidatePending, v1.CandidatePassed}},
		{"an image is old enough at eligibleAt of the status", func(_ *v1.ImageRef, observed *v1.CandidateStatus) { observed.EligibleAt.Time = now }, []v1.CandidateVerdict{v1.CandidatePassed}},
		{"the age of a moved tag is not known", func(_ *v1.ImageRef, observed *v1.CandidateStatus) { observed.Digest = old }, []v1.CandidateVerdict{explain.Unknown}},
		{"the age of an image that is not in the status is not known", func(_ *v1.ImageRef, observed *v1.CandidateStatus) { observed.Tag = "1.0.0" }, []v1.CandidateVerdict{explain.Unknown}},
		{"an image rejected by a later gate was old enough", func(_ *v1.ImageRef, observed *v1.CandidateStatus) {
			observed.EligibleAt, observed.Verdict, observed.Gate = nil, v1.CandidateRejected, v1.GatePlatforms
		}, []v1.CandidateVerdict{v1.CandidatePassed}},
		{"the current image is retained if its tag was moved to a pending one", func(latest *v1.ImageRef, observed *v1.CandidateStatus) {
			latest.Tag, latest.Digest, observed.Verdict = "1.2.0", old, v1.CandidateRetained
			observed.Message += "; " + old + ", which passed before, stays selected"
		}, []v1.CandidateVerdict{v1.CandidateRetained}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			policy := &v1.ImagePolicy{}
			policy.Spec.MinimumAge, policy.Spec.DigestReflectionPolicy = &metav1.Duration{Duration: time.Hour}, v1.ReflectAlways
			policy.Status.LatestRef = image.NewRef("example.com/app", "1.1.0", digestOf("1.1.0"))
			policy.Status.Candidates = []v1.CandidateStatus{{Tag: "1.2.0", Digest: digestOf("1.2.0"), Verdict: v1.CandidatePending,
				Gate: v1.GateMinimumAge, Message: "was first seen at T", EligibleAt: &metav1.Time{Time: now.Add(time.Minute)}}}
			observed := &policy.Status.Candidates[0]
			tt.change(policy.Status.LatestRef, observed)
			results, err := evaluate(t, fakeImages{}, policy, "", "")
			g.Expect(err).NotTo(HaveOccurred())
			var got []v1.CandidateVerdict
			for _, c := range results.Evaluated {
				got = append(got, c.Verdict)
			}
			g.Expect(got).To(Equal(tt.want))
			if admission.Blocks(got[0]) || got[0] == v1.CandidateRetained {
				g.Expect(results.Evaluated[0]).To(And(HaveField("Message", observed.Message), HaveField("EligibleAt.Time", BeTemporally("==", observed.EligibleAt.Time))))
			}
		})
	}
}

// TestEvaluateGates_StopsAtBudget checks the limit of evaluated images.
func TestEvaluateGates_StopsAtBudget(t *testing.T) {
	ranking := make([]selection.Choice, admission.Budget+1)
	for i := range ranking {
		ranking[i].Tag = fmt.Sprintf("1.%d.0", i)
	}
	in := admission.Input{Gates: admission.Gates{VerifierFingerprint: "rule"}}
	results, err := source.EvaluateGates(t.Context(), fakeImages{}, in, ranking, "")
	if err != nil || results.Complete || len(results.Evaluated) != admission.Budget {
		t.Errorf("got %+v, %v", results, err)
	}
}
