// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// Current is the image that a policy has selected. Digest is empty if the policy had no gates when
// it selected the tag, so that the digest was never requested.
type Current struct {
	Tag, Digest string
	// SelectedAt is when it was selected, or zero if that is not known.
	SelectedAt time.Time
	// CheckDigest reports whether the registry must be asked if the tag still points to Digest.
	CheckDigest bool
	// Verdict is the last verdict by the same gates: Passed, with Message, or Rejected. It is empty
	// if there was none. A rejected image is treated like any other candidate.
	Verdict v1.CandidateVerdict
	Message string
}

// CurrentImageOf returns the current image of a policy, or zero if that is not in the repository name.
// If the policy reflects no digest, the digest is taken from the candidates in its status.
func CurrentImageOf(policy *v1.ImagePolicy, name string) Current {
	latest := policy.Status.LatestRef
	if latest == nil || latest.Name != name {
		return Current{}
	}
	current := Current{Tag: latest.Tag, Digest: latest.Digest, CheckDigest: policy.GetDigestReflectionPolicy() == v1.ReflectAlways}
	i := slices.IndexFunc(policy.Status.Candidates, func(c v1.CandidateStatus) bool {
		return c.Tag == latest.Tag && c.Verdict == v1.CandidatePassed
	})
	if current.Digest == "" && i >= 0 {
		current.Digest = policy.Status.Candidates[i].Digest
	}
	if !image.IsDigest(current.Digest) { // other clients may write anything into the status
		current.Digest = ""
	}
	if h := policy.Status.History; len(h) > 0 && h[0].IsOf(latest) && h[0].SelectedAt != nil {
		current.SelectedAt = h[0].SelectedAt.Time
	}
	return current
}

// MaxReported is the maximum number of candidates in the status of a policy.
const MaxReported = 8

// Reported returns the candidates for a status: the best ones, always including the selected one.
func Reported(all []v1.CandidateStatus) []v1.CandidateStatus {
	if len(all) <= MaxReported {
		return all
	}
	best := slices.Clone(all[:MaxReported])
	if i := slices.IndexFunc(all, v1.CandidateStatus.IsSelected); i >= MaxReported {
		best[MaxReported-1] = all[i]
	}
	return best
}
