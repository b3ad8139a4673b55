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

// setVerified sets SourceVerified, which reports whether the selected image is signed as the policy
// requires. The condition stays unchanged unless the evaluation of the candidates finished. If it
// did not, a condition about an earlier generation is removed, because it is about another rule.
func (w writer) setVerified(err error) {
	policy, ok := w.obj.(*v1.ImagePolicy)
	if ok {
		defer w.removeOutdated(v1.SourceVerifiedCondition)
	}
	switch {
	case !ok:
	case policy.Spec.Verify == nil:
		w.remove(v1.SourceVerifiedCondition)
	case err == nil:
		// the selected candidate need not be the last one in the list
		if i := slices.IndexFunc(policy.Status.Candidates, v1.CandidateStatus.IsSelected); i >= 0 {
			w.setVerdict(policy.Status.Candidates[i])
		}
	case noneSelected(err):
		if i := slices.IndexFunc(policy.Status.Candidates, isUnverified); i >= 0 {
			w.setVerdict(policy.Status.Candidates[i])
		}
	}
}

// setVerdict sets SourceVerified from the selected candidate, or from the best rejected one.
func (w writer) setVerdict(candidate v1.CandidateStatus) {
	image := candidate.Tag + "@" + candidate.Digest
	switch {
	case candidate.Verdict == v1.CandidateRetained:
		w.setRetained(candidate)
	case isUnverified(candidate):
		w.set(v1.SourceVerifiedCondition, metav1.ConditionFalse, v1.VerificationErrorReason, fmt.Sprintf("%s %s", image, candidate.Message))
	default:
		w.set(v1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, fmt.Sprintf("%s is verified: %s", image, candidate.Message))
	}
}

// setRetained sets SourceVerified for a current image whose tag moved to another image.
func (w writer) setRetained(moved v1.CandidateStatus) {
	if ref := w.obj.(*v1.ImagePolicy).Status.LatestRef; ref != nil {
		w.set(v1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason,
			fmt.Sprintf("%s@%s is verified; the tag now points at %s, which %s", ref.Tag, ref.Digest, moved.Digest, moved.Message))
	}
}

func isUnverified(candidate v1.CandidateStatus) bool {
	return candidate.Verdict == v1.CandidateRejected && candidate.Gate == v1.GateVerify
}

func noneSelected(err error) bool {
	waiting, ok := errors.AsType[*WaitingError](err)
	return ok && waiting.Reason == v1.NoTagSelectedReason
}
