// SPDX-License-Identifier: Apache-2.0

package admission

import "time"

// maxPause is the maximum time between two checks of a rejected candidate.
const maxPause = 24 * time.Hour

// Recheck records the checks of a rejected candidate. It may pass later: signatures are often
// pushed after the image, and tags may be moved.
type Recheck struct {
	// Digest is the digest that the tag pointed to, or empty if the registry had no image for it.
	Digest string
	// Since is the time of the first check with this digest, At the time of the last one.
	Since, At time.Time
}

// Rechecks holds the checks of the rejected candidates of a policy, by tag.
type Rechecks map[string]Recheck

// RecheckPolicy determines when rejected candidates are checked again.
type RecheckPolicy struct {
	// Previous holds the last checks.
	Previous Rechecks
	// Interval is the minimum time between two checks.
	Interval time.Duration
	// RenewBefore makes a recheck due for all checks before this time, whatever the interval.
	RenewBefore time.Time
}

// due reports whether a rejected candidate must be checked again.
func (r RecheckPolicy) due(tag string, now time.Time) bool {
	previous, found := r.Previous[tag]
	return previous.At.Before(r.RenewBefore) || found && !now.Before(r.next(previous))
}

// next returns the time of the next check. The pause equals the time for which the candidate has
// been rejected, but at least the interval and at most maxPause, so it doubles each time.
func (r RecheckPolicy) next(c Recheck) time.Time {
	return c.At.Add(min(max(c.At.Sub(c.Since), r.Interval), max(maxPause, r.Interval)))
}

// next returns the check that follows c, at a time, with the digest it found.
func (c Recheck) next(digest string, now time.Time) Recheck {
	if c.Digest != digest || c.At.IsZero() {
		return Recheck{Digest: digest, Since: now, At: now}
	}
	return Recheck{Digest: digest, Since: c.Since, At: now}
}
