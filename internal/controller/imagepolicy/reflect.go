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

// reflection is what to do about the digest of the selected image.
type reflection int

const (
	clearDigest reflection = iota // set no digest
	keepDigest                    // keep the digest of the current image
	fetchDigest                   // request the digest from the registry
)

// reflect decides about the digest of the selected name and tag. delayed reports that the digest
// need not be checked again yet.
func reflect(policy v1.ReflectionPolicy, current *v1.ImageRef, name, tag string, delayed bool) reflection {
	if policy == v1.ReflectNever {
		return clearDigest
	}
	if current == nil || current.Name != name || current.Tag != tag || current.Digest == "" {
		return fetchDigest
	}
	if policy == v1.ReflectIfNotPresent || delayed {
		return keepDigest
	}
	return fetchDigest
}

// digestDelays delays the first check of each digest after a start of the process, so that not all
// digests are fetched at once: each is due at a random time within its interval.
type digestDelays struct {
	reconcile.PerObject[digestDelay]
}

type digestDelay struct {
	uid   types.UID
	until time.Time
}

// remaining returns the remaining delay of the policy, or zero. The first call starts a delay of a
// random part of the interval.
func (d *digestDelays) remaining(policy *v1.ImagePolicy, now time.Time) time.Duration {
	delay := d.Update(client.ObjectKeyFromObject(policy), func(old digestDelay, found bool) digestDelay {
		if found && old.uid == policy.UID {
			return old
		}
		duration := time.Duration(scan.Fraction(string(policy.UID)) * float64(policy.GetInterval()))
		return digestDelay{uid: policy.UID, until: now.Add(duration)}
	})
	return max(0, delay.until.Sub(now))
}

// clear ends the delay of a policy whose digest was fetched.
func (d *digestDelays) clear(policy *v1.ImagePolicy) {
	d.Update(client.ObjectKeyFromObject(policy), func(digestDelay, bool) digestDelay { return digestDelay{uid: policy.UID} })
}
