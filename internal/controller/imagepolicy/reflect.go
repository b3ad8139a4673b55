// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// reflection says what to do about the digest of the selected image.
type reflection int

const (
	clearDigest reflection = iota // the image is told without a digest
	keepDigest                    // the digest that is held is still good
	fetchDigest                   // the digest is asked for
)

// reflect decides about the digest of the selected name and tag. resting says
// that the digest is not due to be looked at again.
func reflect(policy v1.ReflectionPolicy, held *v1.ImageRef, name, tag string, resting bool) reflection {
	if policy == v1.ReflectNever {
		return clearDigest
	}
	if held == nil || held.Name != name || held.Tag != tag || held.Digest == "" {
		return fetchDigest
	}
	if policy == v1.ReflectIfNotPresent || resting {
		return keepDigest
	}
	return fetchDigest
}

// digestDelays remembers which policies rest after a start of the process. Digests
// that were up to date before it are not all fetched again at once: each is
// due at some time within its interval.
type digestDelays struct {
	reconcile.PerObject[digestDelay]
}

type digestDelay struct {
	uid   types.UID
	until time.Time
}

// remaining returns how long the policy still rests, zero for not at all. One
// that is seen for the first time rests for a part of its interval.
func (r *digestDelays) remaining(policy *v1.ImagePolicy, now time.Time) time.Duration {
	known := r.Update(client.ObjectKeyFromObject(policy), func(known digestDelay, found bool) digestDelay {
		if found && known.uid == policy.UID {
			return known
		}
		pause := time.Duration(scan.Fraction(string(policy.UID)) * float64(policy.GetInterval()))
		return digestDelay{uid: policy.UID, until: now.Add(pause)}
	})
	return max(0, known.until.Sub(now))
}

// finish ends the rest of a policy whose digest was fetched.
func (r *digestDelays) clear(policy *v1.ImagePolicy) {
	r.Update(client.ObjectKeyFromObject(policy), func(digestDelay, bool) digestDelay { return digestDelay{uid: policy.UID} })
}
