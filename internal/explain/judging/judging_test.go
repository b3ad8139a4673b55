// SPDX-License-Identifier: Apache-2.0

package judging_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/explain/judging"
	"github.com/fluxcd/image-reflector-controller/internal/explain/source"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// signers says who signed the images of some digests.
type signers map[string]string

func (signers) Fingerprint() string { return "rule" }

func (s signers) Verify(_ context.Context, _ signature.Repository, _ image.Name, digest string) (string, string, error) {
	switch who := s[digest]; who {
	case "":
		return "", "has no signature", nil
	case "down":
		return "", "", errors.New("the log can't be reached")
	default:
		return who, "", nil
	}
}

// judge returns a Judge of a policy in a cluster, with three tags in a registry.
func judge(t *testing.T, who signers) (*judging.Judge, map[string]string, explain.Listing) {
	t.Helper()
	reg := registrytest.Start(t)
	name, err := image.Parse(reg.Image("app"), true)
	if err != nil {
		t.Fatal(err)
	}
	client := registry.NewClient()
	t.Cleanup(client.Close)
	digests := map[string]string{}
	tags := []string{"1.0.0", "1.1.0", "1.2.0"}
	for _, tag := range tags {
		digests[tag] = reg.Push(t, "app", tag)
	}
	c := &explain.Case{Policy: &v1.ImagePolicy{}, Repository: &v1.ImageRepository{}}
	c.Policy.Spec.Policy.SemVer = &v1.SemVerPolicy{Range: "1.x"}
	c.Policy.Spec.Verify = &v1.ImageVerification{}
	c.Repository.Spec.Image, c.Repository.Spec.Insecure = reg.Image("app"), true
	if err := c.Compile(); err != nil {
		t.Fatal(err)
	}
	images := &source.Images{Remote: &source.Remote{Client: client, Image: name}, Verifier: who, Limit: time.Minute}
	return &judging.Judge{Case: c, Asker: images, Rule: who.Fingerprint(), Now: now}, digests, explain.Listing{Tags: tags}
}

// TestSignatures: signed wins over newer unsigned, and what can't be checked for a
// failure is an error.
func TestSignatures(t *testing.T) {
	g := NewWithT(t)
	who := signers{}
	j, digests, l := judge(t, who)
	who[digests["1.1.0"]] = "ann"
	trials, err := j.Run(t.Context(), j.Case.Ranking(l), "1.0.0")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trials.Complete).To(BeTrue())
	g.Expect(trials.Judged).To(Equal([]v1.JudgedCandidate{
		{Tag: "1.2.0", Digest: digests["1.2.0"], Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature"},
		{Tag: "1.1.0", Digest: digests["1.1.0"], Verdict: v1.CandidatePassed, Message: "signed by ann"},
		{Tag: "1.0.0", Digest: digests["1.0.0"], Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature"},
	}), "and the one that was asked about comes along")

	who[digests["1.2.0"]] = "down"
	_, err = j.Run(t.Context(), j.Case.Ranking(l), "")
	g.Expect(err).To(MatchError(ContainSubstring("the log can't be reached")))
}

// TestKeptInTheStatus: the tag was moved to an image that ripens. So it still does.
func TestKeptInTheStatus(t *testing.T) {
	g := NewWithT(t)
	j, digests, l := judge(t, signers{})
	j.Rule = ""
	policy := j.Case.Policy
	policy.Spec.Verify, policy.Spec.MinimumAge = nil, &metav1.Duration{Duration: time.Hour}
	policy.Spec.DigestReflectionPolicy = v1.ReflectAlways
	policy.Status.LatestRef = image.NewRef(j.Case.Repository.Spec.Image, "1.2.0", "sha256:old")
	policy.Status.Candidates = []v1.JudgedCandidate{{Tag: "1.2.0", Digest: digests["1.2.0"], Verdict: v1.CandidateKept, Gate: v1.GateMinimumAge,
		EligibleAt: &metav1.Time{Time: now.Add(time.Minute)}}}
	trials, err := j.Run(t.Context(), j.Case.Ranking(l), "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trials.Judged).To(Equal(policy.Status.Candidates))

	j.Now = now.Add(time.Minute)
	trials, err = j.Run(t.Context(), j.Case.Ranking(l), "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trials.Judged).To(HaveExactElements(And(HaveField("Verdict", v1.CandidatePassed), HaveField("Digest", digests["1.2.0"]))))
}

// TestGone: a tag without an image is passed over, as by the controller.
func TestGone(t *testing.T) {
	g := NewWithT(t)
	j, _, l := judge(t, signers{})
	j.Rule, j.Unverifiable = "", "was not checked"
	l.Tags = slices.Concat(l.Tags, []string{"1.9.0"})
	trials, err := j.Run(t.Context(), j.Case.Ranking(l), "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trials.Judged).To(HaveExactElements(
		And(HaveField("Tag", "1.9.0"), HaveField("Gate", v1.GateDigest)),
		And(HaveField("Tag", "1.2.0"), HaveField("Verdict", explain.Unknown), HaveField("Message", "was not checked")),
	))
}
