// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"context"
	"errors"
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
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// fakeImages has an image under each tag, with the digest digestOf, and who signed it. A tag
// that was deleted is signed by "gone".
type fakeImages map[string]string

func digestOf(tag string) string { return "sha256:" + strings.Repeat(tag[2:3], 64) }

func (f fakeImages) Digest(_ context.Context, tag string) (string, error) {
	if f[digestOf(tag)] == "gone" {
		return "", admission.ErrGone
	}
	return digestOf(tag), nil
}

func (fakeImages) Read(context.Context, string, admission.Wants) (admission.Fact, error) {
	return admission.Fact{}, errors.New("nothing is to be read")
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
func judge(t *testing.T, images fakeImages, policy *v1.ImagePolicy, rule, unverifiable string, at time.Time, also string) (*explain.Trials, error) {
	t.Helper()
	c := &explain.Case{Policy: policy, Repository: &v1.ImageRepository{Spec: v1.ImageRepositorySpec{Image: "example.com/app"}}}
	policy.Spec.Policy.SemVer = &v1.SemVerPolicy{Range: "1.x"}
	if err := c.Compile(); err != nil {
		t.Fatal(err)
	}
	ranking := c.Ranking(explain.Listing{Tags: []string{"1.0.0", "1.1.0", "1.2.0"}})
	return source.Judge(t.Context(), images, c.Admission(rule, unverifiable, at), slices.Collect(ranking), also)
}

// TestJudge_SelectsSignedBeforeNewer also judges the tag that is asked about, and fails where a
// signature can't be verified for a failure.
func TestJudge_SelectsSignedBeforeNewer(t *testing.T) {
	g := NewWithT(t)
	images := fakeImages{digestOf("1.1.0"): "ann"}
	trials, err := judge(t, images, &v1.ImagePolicy{}, "rule", "", now, "1.0.0")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trials).To(Equal(&explain.Trials{By: explain.ByExplain, Complete: true, Judged: []v1.JudgedCandidate{
		{Tag: "1.2.0", Digest: digestOf("1.2.0"), Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature"},
		{Tag: "1.1.0", Digest: digestOf("1.1.0"), Verdict: v1.CandidatePassed, Message: "signed by ann"},
		{Tag: "1.0.0", Digest: digestOf("1.0.0"), Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature"},
	}}))

	images[digestOf("1.2.0")] = "down"
	_, err = judge(t, images, &v1.ImagePolicy{}, "rule", "", now, "")
	g.Expect(err).To(MatchError(ContainSubstring("the log can't be reached")))
}

// TestJudge_BelievesTheStatusAboutAges: the tag was moved to an image that ripens. So it still
// does, until it is old enough.
func TestJudge_BelievesTheStatusAboutAges(t *testing.T) {
	g := NewWithT(t)
	old := "sha256:" + strings.Repeat("a", 64)
	policy := &v1.ImagePolicy{}
	policy.Spec.MinimumAge, policy.Spec.DigestReflectionPolicy = &metav1.Duration{Duration: time.Hour}, v1.ReflectAlways
	policy.Status.LatestRef = image.NewRef("example.com/app", "1.2.0", old)
	policy.Status.Candidates = []v1.JudgedCandidate{{Tag: "1.2.0", Digest: digestOf("1.2.0"), Verdict: v1.CandidateKept, Gate: v1.GateMinimumAge,
		Message: "was first seen at T, and is old enough at U; " + old + ", which passed before, stays selected", EligibleAt: &metav1.Time{Time: now.Add(time.Minute)}}}
	trials, err := judge(t, fakeImages{}, policy, "", "", now, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trials.Judged).To(HaveExactElements(And(HaveField("Verdict", v1.CandidateKept), HaveField("Digest", digestOf("1.2.0")),
		HaveField("Message", policy.Status.Candidates[0].Message), HaveField("EligibleAt.Time", BeTemporally("==", now.Add(time.Minute))))))

	trials, err = judge(t, fakeImages{}, policy, "", "", now.Add(time.Minute), "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trials.Judged).To(HaveExactElements(And(HaveField("Verdict", v1.CandidatePassed), HaveField("Digest", digestOf("1.2.0")))))
}

// TestJudge_PassesOverGoneTags as the controller does, and has no verdict where no signature
// can be verified.
func TestJudge_PassesOverGoneTags(t *testing.T) {
	g := NewWithT(t)
	trials, err := judge(t, fakeImages{digestOf("1.2.0"): "gone"}, &v1.ImagePolicy{}, "", "was not checked", now, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trials.Judged).To(HaveExactElements(
		And(HaveField("Tag", "1.2.0"), HaveField("Gate", v1.GateDigest)),
		And(HaveField("Tag", "1.1.0"), HaveField("Verdict", explain.Unknown), HaveField("Message", "was not checked")),
	))
}
