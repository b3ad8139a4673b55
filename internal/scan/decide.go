// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// Reason says why a scan is due.
type Reason string

// The reasons for a scan, in the order in which Decide asks for them.
const (
	NeverScanned     Reason = "never scanned"
	Requested        Reason = "reconcile requested"
	ImageChanged     Reason = "image changed"
	ExclusionChanged Reason = "exclusion list changed"
	StoreEmpty       Reason = "no tags in the store"
	LastScanFailed   Reason = "last scan failed"
	IntervalElapsed  Reason = "interval elapsed"
)

// State is all that a decision about a scan depends on.
type State struct {
	// Now is the time of the decision.
	Now time.Time
	// Interval is the time between two scans.
	Interval time.Duration

	// Image and ObservedImage are the image now and as last scanned.
	Image, ObservedImage string
	// Exclusions and ObservedExclusions are the lists now and as last scanned.
	Exclusions, ObservedExclusions []string

	// LastScan is when the last successful scan ended, zero for never.
	LastScan time.Time
	// Failing says that the last attempt since then did not succeed.
	Failing bool
	// Requested says that a reconcile was asked for and not handled yet.
	Requested bool
	// Stored says that the store holds the tags of the last scan.
	Stored bool
}

// Decision is whether to scan now: a reason to, or a time to wait.
type Decision struct {
	reason Reason
	wait   time.Duration
}

// Due returns why a scan is due, and whether it is.
func (d Decision) Due() (Reason, bool) { return d.reason, d.reason != "" }

// Wait returns the time until a scan is due by its interval, zero if it is now.
func (d Decision) Wait() time.Duration { return d.wait }

// Decide decides whether a scan is due.
func Decide(f State) Decision {
	for _, check := range []struct {
		due    bool
		reason Reason
	}{
		{f.LastScan.IsZero(), NeverScanned},
		{f.Requested, Requested},
		{f.Image != f.ObservedImage, ImageChanged},
		{!slices.Equal(f.Exclusions, f.ObservedExclusions), ExclusionChanged},
		{!f.Stored, StoreEmpty},
		{f.Failing, LastScanFailed},
		{Remaining(f.LastScan, f.Interval, f.Now) <= 0, IntervalElapsed},
	} {
		if check.due {
			return Decision{reason: check.reason}
		}
	}
	return Decision{wait: Remaining(f.LastScan, f.Interval, f.Now)}
}

// Remaining returns the time until the interval since last has elapsed. It
// never exceeds the interval, so that a clock which was wrong at the last scan
// can't put the next one off for long.
func Remaining(last time.Time, interval time.Duration, now time.Time) time.Duration {
	return min(last.Add(interval).Sub(now), interval)
}

// Spread returns d moved by up to percent of it in either direction. The same
// seed always moves it the same way, so that what was scheduled before a
// restart is scheduled the same after it.
func Spread(d time.Duration, percent uint8, seed string) time.Duration {
	return d + time.Duration((2*Fraction(seed)-1)*float64(d)*float64(percent)/100)
}

// Fraction returns a number in [0, 1) that is always the same for the same
// seed, and evenly spread over seeds.
func Fraction(seed string) float64 {
	sum := sha256.Sum256([]byte(seed))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}
