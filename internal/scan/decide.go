// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// Reason is the reason why a scan is due.
type Reason string

// The reasons for a scan, in the order in which Decide checks them.
const (
	NeverScanned     Reason = "never scanned"
	Requested        Reason = "reconcile requested"
	ImageChanged     Reason = "image changed"
	ExclusionChanged Reason = "exclusion list changed"
	StoreEmpty       Reason = "no tags in the store"
	LastScanFailed   Reason = "last scan failed"
	IntervalElapsed  Reason = "interval elapsed"
)

// State is the input of the decision whether a scan is due.
type State struct {
	// Now is the time of the decision.
	Now time.Time
	// Interval is the time between two scans.
	Interval time.Duration

	// Image and ObservedImage are the current image and that of the last scan.
	Image, ObservedImage string
	// Exclusions and ObservedExclusions are the current list and that of the last scan.
	Exclusions, ObservedExclusions []string

	// LastScan is when the last successful scan ended, zero for never.
	LastScan time.Time
	// Failing reports that the last attempt failed.
	Failing bool
	// Requested reports that a reconcile was requested and not handled yet.
	Requested bool
	// Stored reports that the tags of the last scan are in the store.
	Stored bool
}

// Decision is whether a scan is due, with its reason or the time to wait.
type Decision struct {
	reason Reason
	wait   time.Duration
}

// Due returns the reason of the scan, and whether it is due.
func (d Decision) Due() (Reason, bool) { return d.reason, d.reason != "" }

// Wait returns the time until the interval elapses, zero if a scan is due.
func (d Decision) Wait() time.Duration { return d.wait }

// Decide decides whether a scan is due.
func Decide(s State) Decision {
	for _, check := range []struct {
		due    bool
		reason Reason
	}{
		{s.LastScan.IsZero(), NeverScanned},
		{s.Requested, Requested},
		{s.Image != s.ObservedImage, ImageChanged},
		{!slices.Equal(s.Exclusions, s.ObservedExclusions), ExclusionChanged},
		{!s.Stored, StoreEmpty},
		{s.Failing, LastScanFailed},
		{Remaining(s.LastScan, s.Interval, s.Now) <= 0, IntervalElapsed},
	} {
		if check.due {
			return Decision{reason: check.reason}
		}
	}
	return Decision{wait: Remaining(s.LastScan, s.Interval, s.Now)}
}

// Remaining returns the time until the interval since last elapses. It never exceeds the interval,
// so that a wrong clock at the last scan can't delay the next one for long.
func Remaining(last time.Time, interval time.Duration, now time.Time) time.Duration {
	return min(last.Add(interval).Sub(now), interval)
}

// Spread returns d with a jitter of up to percent of it in either direction. The jitter depends
// only on the seed, so that a restart does not change schedules.
func Spread(d time.Duration, percent uint8, seed string) time.Duration {
	return d + time.Duration((2*Fraction(seed)-1)*float64(d)*float64(percent)/100)
}

// Fraction returns a number in [0, 1) that depends only on the seed, uniformly distributed over
// seeds.
func Fraction(seed string) float64 {
	sum := sha256.Sum256([]byte(seed))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}
