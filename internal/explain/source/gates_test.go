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

// fakeImages has an image under each tag, with the digest digestOf, and who signed it.
type fakeImages map[string]string

func digestOf(tag string) string { return "sha256:" + strings.Repeat(tag[2:3], 64) }

func (fakeImages) Digest(_ context.Context, tag string) (string, error) {
	return digestOf(tag), nil
}

func (fakeImages) Read(context.Context, string, admission.Wants) (admission.ImageInfo, error) {
	return admission.ImageInfo{}, errors.New("nothing is to be read")
}

func (f fakeImages) Verify(_ context.Context, digest string) (string, string, error) {
	switch who := f[digest]; who {
	case "":
		return "", "has no signature", nil
	case "down":
		return "", "", errors.New("the log can't be reached")
	default:
		return who, "", nil
	}
}

// judge judges the tags of a repository by a policy in a cluster.
func judge(t *testing.T, images fakeImages, policy *v1.ImagePolicy, rule, also string) (*explain.GateResults, error) {
	t.Helper()
	c := &explain.Case{Policy: policy, Repository: &v1.ImageRepository{Spec: v1.ImageRepositorySpec{Image: "example.com/app"}}}
	policy.Spec.Policy.SemVer = &v1.SemVerPolicy{Range: "1.x"}
	NewWithT(t).Expect(c.Compile()).To(Succeed())
	ranking := c.Ranking(explain.Listing{Tags: []string{"1.0.0", "1.1.0", "1.2.0"}})
	return source.EvaluateGates(t.Context(), images, c.Admission(rule, "", now), slices.Collect(ranking), also)
}

// TestEvaluateGates_SelectsSignedImage also judges the tag that is asked about, and fails where a
// signature can't be verified for a failure.
func TestEvaluateGates_SelectsSignedImage(t *testing.T) {
	g := NewWithT(t)
	images := fakeImages{digestOf("1.1.0"): "ann"}
	trials, err := judge(t, images, &v1.ImagePolicy{}, "rule", "1.0.0")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trials).To(Equal(&explain.GateResults{By: explain.ByExplain, Complete: true, Evaluated: []v1.CandidateStatus{
		{Tag: "1.2.0", Digest: digestOf("1.2.0"), Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature"},
		{Tag: "1.1.0", Digest: digestOf("1.1.0"), Verdict: v1.CandidatePassed, Message: "signed by ann"},
		{Tag: "1.0.0", Digest: digestOf("1.0.0"), Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature"},
	}}))

	images[digestOf("1.2.0")] = "down"
	_, err = judge(t, images, &v1.ImagePolicy{}, "rule", "")
	g.Expect(err).To(MatchError(ContainSubstring("the log can't be reached")))
}

// TestEvaluateGates_TakesAgeFromStatus stands for an image that is selected too early, or never,
// because since when it is there is known to the controller only.
func TestEvaluateGates_TakesAgeFromStatus(t *testing.T) {
	const old = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for _, tt := range []struct {
		reason string
		change func(latest *v1.ImageRef, told *v1.CandidateStatus)
		want   []v1.CandidateVerdict
	}{
		{"one that ripens is too young, and what is selected is not given up", func(*v1.ImageRef, *v1.CandidateStatus) {}, []v1.CandidateVerdict{v1.CandidatePending, v1.CandidatePassed}},
		{"it is old enough as soon as the status said it would be", func(_ *v1.ImageRef, told *v1.CandidateStatus) { told.EligibleAt.Time = now }, []v1.CandidateVerdict{v1.CandidatePassed}},
		{"another image at the tag has no age that is known", func(_ *v1.ImageRef, told *v1.CandidateStatus) { told.Digest = old }, []v1.CandidateVerdict{explain.Unknown}},
		{"nor has one that the status does not name", func(_ *v1.ImageRef, told *v1.CandidateStatus) { told.Tag = "1.0.0" }, []v1.CandidateVerdict{explain.Unknown}},
		{"one that failed a later gate was old enough", func(_ *v1.ImageRef, told *v1.CandidateStatus) {
			told.EligibleAt, told.Verdict, told.Gate = nil, v1.CandidateRejected, v1.GatePlatforms
		}, []v1.CandidateVerdict{v1.CandidatePassed}},
		{"what is selected stays where its tag was moved to one that ripens", func(latest *v1.ImageRef, told *v1.CandidateStatus) {
			latest.Tag, latest.Digest, told.Verdict = "1.2.0", old, v1.CandidateRetained
			told.Message += "; " + old + ", which passed before, stays selected"
		}, []v1.CandidateVerdict{v1.CandidateRetained}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			policy := &v1.ImagePolicy{}
			policy.Spec.MinimumAge, policy.Spec.DigestReflectionPolicy = &metav1.Duration{Duration: time.Hour}, v1.ReflectAlways
			policy.Status.LatestRef = image.NewRef("example.com/app", "1.1.0", digestOf("1.1.0"))
			policy.Status.Candidates = []v1.CandidateStatus{{Tag: "1.2.0", Digest: digestOf("1.2.0"), Verdict: v1.CandidatePending,
				Gate: v1.GateMinimumAge, Message: "was first seen at T", EligibleAt: &metav1.Time{Time: now.Add(time.Minute)}}}
			told := &policy.Status.Candidates[0]
			tt.change(policy.Status.LatestRef, told)
			trials, err := judge(t, fakeImages{}, policy, "", "")
			g.Expect(err).NotTo(HaveOccurred())
			var got []v1.CandidateVerdict
			for _, c := range trials.Evaluated {
				got = append(got, c.Verdict)
			}
			g.Expect(got).To(Equal(tt.want))
			if admission.Blocks(got[0]) || got[0] == v1.CandidateRetained {
				g.Expect(trials.Evaluated[0]).To(And(HaveField("Message", told.Message), HaveField("EligibleAt.Time", BeTemporally("==", told.EligibleAt.Time))))
			}
		})
	}
}

// TestEvaluateGates_StopsAtBudget stands for thousands of images that are read by mistake.
func TestEvaluateGates_StopsAtBudget(t *testing.T) {
	ranking := make([]selection.Choice, admission.Budget+1)
	for i := range ranking {
		ranking[i].Tag = fmt.Sprintf("1.%d.0", i)
	}
	in := admission.Input{Gates: admission.Gates{Rule: "rule"}}
	trials, err := source.EvaluateGates(t.Context(), fakeImages{}, in, ranking, "")
	if err != nil || trials.Complete || len(trials.Evaluated) != admission.Budget {
		t.Errorf("got %+v, %v", trials, err)
	}
}
