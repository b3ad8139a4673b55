// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// Current is the image that a policy has selected. Its Digest is empty where the tag was selected
// before there were gates, and the registry was not asked for the digest.
type Current struct {
	Tag, Digest string
	// Recheck reports that it is time to look whether the tag still points at it.
	CheckDigest bool
	// Verdict is the last one by the same gates, Passed with Message or Rejected, and empty
	// where there was none. What was rejected is a candidate like any other.
	Verdict v1.CandidateVerdict
	Message string
}

// CurrentOf returns the image that a policy has selected of a repository with the image name.
// Where the policy reflects no digest, the candidates of its status have it.
func CurrentOf(policy *v1.ImagePolicy, name string) Current {
	latest := policy.Status.LatestRef
	if latest == nil || latest.Name != name {
		return Current{}
	}
	held := Current{Tag: latest.Tag, Digest: latest.Digest, CheckDigest: policy.GetDigestReflectionPolicy() == v1.ReflectAlways}
	i := slices.IndexFunc(policy.Status.Candidates, func(c v1.CandidateStatus) bool {
		return c.Tag == latest.Tag && c.Verdict == v1.CandidatePassed
	})
	if held.Digest == "" && i >= 0 {
		held.Digest = policy.Status.Candidates[i].Digest
	}
	if !image.IsDigest(held.Digest) { // another writer of the status can write anything
		held.Digest = ""
	}
	return held
}

// MaxReported is how many candidates the status of a policy has.
const MaxReported = 8

// Reported returns the candidates that a status has: the best ones, and the one that is selected.
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
