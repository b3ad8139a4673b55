// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// setVerified writes the condition that says whether the selected image is signed as
// the policy demands, where all candidates were judged.
func (c writer) setVerified(err error) {
	policy, ok := c.obj.(*v1.ImagePolicy)
	switch {
	case !ok:
	case policy.Spec.Verify == nil:
		c.remove(v1.SourceVerifiedCondition)
	case err == nil:
		// it need not be the last one that was judged
		if i := slices.IndexFunc(policy.Status.Candidates, v1.CandidateStatus.IsSelected); i >= 0 {
			c.setVerdict(policy.Status.Candidates[i])
		}
	case noneSelected(err):
		if i := slices.IndexFunc(policy.Status.Candidates, isUnverified); i >= 0 {
			c.setVerdict(policy.Status.Candidates[i])
		}
	}
}

// setVerdict tells of the image that was selected, or of the best one that was not.
func (c writer) setVerdict(of v1.CandidateStatus) {
	image := of.Tag + "@" + of.Digest
	switch {
	case of.Verdict == v1.CandidateRetained:
		c.setRetained(of)
	case isUnverified(of):
		c.set(v1.SourceVerifiedCondition, metav1.ConditionFalse, v1.VerificationErrorReason, fmt.Sprintf("%s %s", image, of.Message))
	default:
		c.set(v1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, fmt.Sprintf("%s is verified: %s", image, of.Message))
	}
}

// setRetained tells of an image that passed before its tag was moved.
func (c writer) setRetained(moved v1.CandidateStatus) {
	if ref := c.obj.(*v1.ImagePolicy).Status.LatestRef; ref != nil {
		c.set(v1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason,
			fmt.Sprintf("%s@%s is verified; the tag points at %s by now, which %s", ref.Tag, ref.Digest, moved.Digest, moved.Message))
	}
}

func isUnverified(c v1.CandidateStatus) bool {
	return c.Verdict == v1.CandidateRejected && c.Gate == v1.GateVerify
}

func noneSelected(err error) bool {
	waiting, ok := errors.AsType[*WaitingError](err)
	return ok && waiting.Reason == v1.NoTagSelectedReason
}
