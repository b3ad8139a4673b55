// SPDX-License-Identifier: Apache-2.0

package admission

import "time"

// maxPause is the longest time between two looks at a candidate that was rejected.
const maxPause = 24 * time.Hour

// Recheck is when a rejected candidate was looked at. It may pass the next time: a signature is
// often pushed after its image, and a tag may be moved.
type Recheck struct {
	// Digest is what the tag pointed at, empty where the registry had no image for it.
	Digest string
	// Since is the first of the looks that saw that, At the last.
	Since, At time.Time
}

// Rechecks are the looks at the rejected candidates of a policy, by tag.
type Rechecks map[string]Recheck

// RecheckPolicy is when rejected candidates are looked at again.
type RecheckPolicy struct {
	// Rechecks are the last looks.
	Previous Rechecks
	// Interval is the least time between two of them.
	Interval time.Duration
	// RenewBefore renews the looks from before it, whatever the interval.
	RenewBefore time.Time
}

// isRecheckDue reports whether a rejected candidate is to be looked at again.
func (r RecheckPolicy) due(tag string, now time.Time) bool {
	look, seen := r.Previous[tag]
	return look.At.Before(r.RenewBefore) || seen && !now.Before(r.next(look))
}

// next returns when a candidate is looked at again: after a pause that is as long as it has been
// rejected by now, but no shorter than the interval. So one that stays rejected costs ever less.
func (r RecheckPolicy) next(l Recheck) time.Time {
	return l.At.Add(min(max(l.At.Sub(l.Since), r.Interval), max(maxPause, r.Interval)))
}

// recheckNeed returns the look after another one at some time, which saw digest.
func (l Recheck) next(digest string, now time.Time) Recheck {
	if l.Digest != digest || l.At.IsZero() {
		return Recheck{Digest: digest, Since: now, At: now}
	}
	return Recheck{Digest: digest, Since: l.Since, At: now}
}
