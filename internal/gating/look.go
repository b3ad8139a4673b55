// SPDX-License-Identifier: Apache-2.0

package gating

import "time"

// maxPause is the longest time between two looks at a candidate that was rejected.
const maxPause = 24 * time.Hour

// Look is when a rejected candidate was looked at. It may pass the next time: a
// signature is often pushed after its image, and a tag may be moved.
type Look struct {
	// Digest is what the tag pointed at, empty where the registry had no image for
	// it.
	Digest string
	// Since is the first of the looks that saw that, At the last.
	Since, At time.Time
}

// Looks are the looks at the rejected candidates of a policy, by tag.
type Looks map[string]Look

// next returns when the candidate is looked at again: after a pause that is
// as long as it has been rejected by now, but no shorter than the interval. So one
// that stays rejected costs ever less.
func (l Look) next(interval time.Duration) time.Time {
	return l.At.Add(min(max(l.At.Sub(l.Since), interval), max(maxPause, interval)))
}

// again returns the look after another one at some time, which saw digest.
func (l Look) again(digest string, now time.Time) Look {
	if l.Digest != digest || l.At.IsZero() {
		return Look{Digest: digest, Since: now, At: now}
	}
	return Look{Digest: digest, Since: l.Since, At: now}
}
