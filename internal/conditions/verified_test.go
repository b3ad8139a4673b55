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

// TestApply_SetsSourceVerifiedCondition tells of the image that is selected, or else of the best one that
// is not signed.
func TestApply_SetsSourceVerifiedCondition(t *testing.T) {
	signed := v1.CandidateStatus{Tag: "1", Digest: "a", Verdict: v1.CandidatePassed, Message: "signed by ann"}
	unsigned := v1.CandidateStatus{Tag: "2", Digest: "b", Verdict: v1.CandidateRejected, Gate: v1.GateVerify, Message: "has no signature"}
	foreign := v1.CandidateStatus{Tag: "3", Digest: "c", Verdict: v1.CandidateRejected, Gate: v1.GatePlatforms, Message: "is of windows"}
	kept := unsigned
	kept.Tag, kept.Verdict, kept.Message = "1", v1.CandidateRetained, "has no signature; a, which passed before, stays selected"
	none := Waiting(v1.NoTagSelectedReason, 0, errors.New("none"))
	for _, tt := range []struct {
		reason     string
		candidates []v1.CandidateStatus
		err        error
		want       string
	}{
		{"the one that is selected", []v1.CandidateStatus{foreign, unsigned, signed}, nil, "True Succeeded 1@a is verified: signed by ann"},
		{"which need not be the last that was judged", []v1.CandidateStatus{signed, unsigned}, nil, "True Succeeded 1@a is verified: signed by ann"},
		{"the digest that passed, and not the one that its tag was moved to", []v1.CandidateStatus{kept}, nil,
			"True Succeeded 1@a is verified; the tag points at b by now, which has no signature; a, which passed before, stays selected"},
		{"the best one that is not signed", []v1.CandidateStatus{foreign, unsigned}, none, "False VerificationError 2@b has no signature"},
		{"it is not known where other gates reject all", []v1.CandidateStatus{foreign}, none, ""},
		{"nor where something fails", []v1.CandidateStatus{unsigned}, errors.New("no network"), ""},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			policy := &v1.ImagePolicy{Spec: v1.ImagePolicySpec{Verify: &v1.ImageVerification{}}}
			policy.Status.LatestRef = &v1.ImageRef{Tag: "1", Digest: "a"}
			policy.Status.Candidates = tt.candidates
			Apply(policy.DeepCopy(), policy, Result{Message: "m"}, tt.err, noon)
			g.Expect(told(policy)).To(Equal(tt.want))
			policy.Spec.Verify = nil
			Apply(policy.DeepCopy(), policy, Result{Message: "m"}, nil, noon.Add(time.Minute))
			g.Expect(told(policy)).To(BeEmpty(), "without spec.verify")
		})
	}
}

func told(policy *v1.ImagePolicy) string {
	c := apimeta.FindStatusCondition(policy.Status.Conditions, v1.SourceVerifiedCondition)
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason + " " + c.Message
}
