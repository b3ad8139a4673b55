// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// TestApply_SetsSourceVerifiedCondition checks that the condition describes the selected image, or
// the best unsigned one if none is selected.
func TestApply_SetsSourceVerifiedCondition(t *testing.T) {
	signed := v1.CandidateStatus{Tag: "1", Digest: "a", Verdict: v1.CandidatePassed, Message: "signed by ann"}
	unsigned := v1.CandidateStatus{Tag: "2", Digest: "b", Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature"}
	foreign := v1.CandidateStatus{Tag: "3", Digest: "c", Verdict: v1.CandidateRejected, Gate: v1.GatePlatforms, Message: "is of windows"}
	retained := unsigned
	retained.Tag, retained.Verdict, retained.Message = "1", v1.CandidateRetained, "has no signature; a, which passed before, stays selected"
	none := Waiting(v1.NoTagSelectedReason, 0, errors.New("none"))
	for _, tt := range []struct {
		reason     string
		candidates []v1.CandidateStatus
		err        error
		want       string
	}{
		{"the selected image", []v1.CandidateStatus{foreign, unsigned, signed}, nil, "True Succeeded 1@a is verified: signed by ann"},
		{"the selected image is not the last candidate", []v1.CandidateStatus{signed, unsigned}, nil, "True Succeeded 1@a is verified: signed by ann"},
		{"the tag of the current image moved", []v1.CandidateStatus{retained}, nil,
			"True Succeeded 1@a is verified; the tag now points at b, which has no signature; a, which passed before, stays selected"},
		{"no image is selected", []v1.CandidateStatus{foreign, unsigned}, none, "False VerificationError 2@b has no signature"},
		{"other gates reject all candidates", []v1.CandidateStatus{foreign}, none, ""},
		{"the evaluation failed", []v1.CandidateStatus{unsigned}, errors.New("no network"), ""},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			policy := &v1.ImagePolicy{Spec: v1.ImagePolicySpec{Verify: &v1.ImageVerification{}}}
			policy.Status.LatestRef = &v1.ImageRef{Tag: "1", Digest: "a"}
			policy.Status.Candidates = tt.candidates
			Apply(policy.DeepCopy(), policy, Result{Message: "m"}, tt.err, noon)
			g.Expect(verifiedCondition(policy)).To(Equal(tt.want))
			policy.Spec.Verify = nil
			Apply(policy.DeepCopy(), policy, Result{Message: "m"}, nil, noon.Add(time.Minute))
			g.Expect(verifiedCondition(policy)).To(BeEmpty(), "without spec.verify")
		})
	}
}

// TestApply_RemovesOutdatedSourceVerified checks that a failure before the evaluation keeps the
// condition only if it is about the same generation.
func TestApply_RemovesOutdatedSourceVerified(t *testing.T) {
	g := NewWithT(t)
	policy := &v1.ImagePolicy{Spec: v1.ImagePolicySpec{Verify: &v1.ImageVerification{}}}
	policy.Generation = 1
	policy.Status.Candidates = []v1.CandidateStatus{{Tag: "1", Digest: "a", Verdict: v1.CandidatePassed, Message: "signed by ann"}}
	Apply(policy.DeepCopy(), policy, Result{Message: "m"}, nil, noon)
	failed := Stalled(v1.InvalidPolicyReason, errors.New("the rule is invalid"))
	Apply(policy.DeepCopy(), policy, Result{}, failed, noon)
	g.Expect(verifiedCondition(policy)).To(Equal("True Succeeded 1@a is verified: signed by ann"))
	policy.Generation = 2
	Apply(policy.DeepCopy(), policy, Result{}, failed, noon)
	g.Expect(verifiedCondition(policy)).To(BeEmpty())
}

func verifiedCondition(policy *v1.ImagePolicy) string {
	c := apimeta.FindStatusCondition(policy.Status.Conditions, v1.SourceVerifiedCondition)
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason + " " + c.Message
}
