// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// Gates are the checks that the image of a candidate must pass.
type Gates struct {
	// Platforms are the normalized platforms that the image must provide.
	Platforms []string
	// MinimumAge is the minimum age of the image.
	MinimumAge time.Duration
	// VerifierFingerprint is the fingerprint of the signature verification rule, or empty for none.
	VerifierFingerprint string
	// VerifierDependsOnTime means that the verdict of the rule may change as time passes.
	VerifierDependsOnTime bool
	// Unverifiable explains why signatures can't be verified, or is empty. If it is set, the
	// verdict on an image that passes the other gates is Unknown.
	Unverifiable string
	// Age replaces the check of MinimumAge if it is not nil. It serves callers without the
	// controller's image info, which don't know the time from which the age counts.
	Age func(c Candidate, now time.Time) Decision
}

// Compile returns the gates of a policy, without its verification rule.
func Compile(spec *v1.ImagePolicySpec) (Gates, error) {
	var g Gates
	for i, platform := range spec.Platforms {
		parsed := ParsePlatform(platform)
		if parsed == "" {
			return Gates{}, fmt.Errorf("spec.platforms[%d] %q is invalid: write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/arm64",
				i, platform)
		}
		g.Platforms = append(g.Platforms, parsed)
	}
	slices.Sort(g.Platforms)
	g.Platforms = slices.Compact(g.Platforms)
	if spec.MinimumAge != nil {
		if g.MinimumAge = spec.MinimumAge.Duration; g.MinimumAge < 0 {
			return Gates{}, errors.New("spec.minimumAge is invalid: write a duration that is not negative, such as 72h")
		}
	}
	return g, nil
}

// Candidate is a tag whose image is evaluated.
type Candidate struct {
	// Tag is the tag.
	Tag string
	// FirstSeen is the time at which a scan first found the tag, and Since the time of the first
	// scan of the repository, in seconds since the epoch.
	FirstSeen, Since int64
	// Info is the image info of the tag. Its digest is empty if nothing is known.
	Info ImageInfo
	// Current reports that the image is already selected.
	Current bool
	// SelectedAt is the time at which the current image is verified: when it was selected. It is zero
	// for other images, which are verified at the present time.
	SelectedAt time.Time
}

// NewCandidate returns the candidate of a tag. For a tag that is not listed, FirstSeen is zero.
func NewCandidate(tag string, snapshot scan.Snapshot, info ImageInfo) Candidate {
	firstSeen, _ := snapshot.FirstSeenAt(tag)
	return Candidate{Tag: tag, FirstSeen: firstSeen, Since: snapshot.Since, Info: info}
}

// Need is what must be fetched before a candidate can be evaluated.
type Need int

// The values of Need.
const (
	// NoNeed means that the candidate is evaluated.
	NoNeed Need = iota
	// NeedDigest means that the digest of the tag must be fetched.
	NeedDigest
	// NeedPlatforms means that the platforms of the image must be read.
	NeedPlatforms
	// NeedCreated means that the creation time of the image must be read.
	NeedCreated
	// NeedSignature means that the signatures of the image must be verified.
	NeedSignature
)

// Unknown is the verdict on a candidate for which one gate can't be evaluated and which passes the
// others. It is never written to a status.
const Unknown v1.CandidateVerdict = "Unknown"

// Decision is the result of evaluating a candidate.
type Decision struct {
	// Need is what must be fetched first. If it is set, the other fields are empty.
	Need Need
	// Verdict is Passed, Rejected, Pending or Unknown.
	Verdict v1.CandidateVerdict
	// Gate is the gate that was not passed.
	Gate string
	// Message is the reason, or names the signer.
	Message string
	// EligibleAt is the time at which a pending candidate reaches the minimum age.
	EligibleAt time.Time
}

// Blocks reports whether a verdict keeps a candidate from being selected.
func Blocks(verdict v1.CandidateVerdict) bool {
	return verdict == v1.CandidateRejected || verdict == v1.CandidatePending
}

// passed is the decision of a gate that accepts a candidate.
var passed = Decision{Verdict: v1.CandidatePassed}

func rejected(gate, message string) Decision {
	return Decision{Verdict: v1.CandidateRejected, Gate: gate, Message: message}
}

// Evaluate evaluates all gates in order, or returns what must be fetched first.
func (g Gates) Evaluate(c Candidate, now time.Time) Decision {
	if c.Info.Digest == "" {
		return Decision{Need: NeedDigest}
	}
	age := g.Age
	if age == nil {
		age = g.age
	}
	result := passed
	for _, gate := range []func(Candidate, time.Time) Decision{age, g.platforms, g.signature} {
		d := gate(c, now)
		if d.Need != NoNeed || Blocks(d.Verdict) {
			return d
		}
		if d.Verdict == Unknown || result.Verdict == v1.CandidatePassed {
			result = d
		}
	}
	return result
}

// age evaluates the time since the tag was first seen with its digest. For a tag of the first scan
// that is unknown, so the creation time that the image states counts, unless that is later than the
// time at which it was seen. The current image is always old enough.
func (g Gates) age(c Candidate, now time.Time) Decision {
	if g.MinimumAge == 0 || c.Current {
		return passed
	}
	since, event, source := c.Info.DigestSince, "first seen", ""
	if c.FirstSeen <= c.Since && !c.Info.DigestChanged {
		switch {
		case c.Info.Created == CreatedUnread:
			return Decision{Need: NeedCreated}
		case c.Info.Created != CreatedUnstated && c.Info.Created <= c.Info.DigestSince:
			since, event, source = c.Info.Created, "created", " according to "+c.Info.CreatedBy.String()
		}
	}
	eligibleAt := time.Unix(since, 0).Add(g.MinimumAge)
	if !eligibleAt.After(now) {
		return passed
	}
	return Decision{Verdict: v1.CandidatePending, Gate: v1.GateMinimumAge, EligibleAt: eligibleAt,
		Message: fmt.Sprintf("was %s at %s%s, and is old enough at %s", event, formatTime(time.Unix(since, 0)), source, formatTime(eligibleAt))}
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (g Gates) platforms(c Candidate, _ time.Time) Decision {
	if len(g.Platforms) == 0 {
		return passed
	}
	if !c.Info.PlatformsKnown {
		return Decision{Need: NeedPlatforms}
	}
	absent := missing(g.Platforms, c.Info.Platforms)
	switch {
	case len(absent) == 0:
		return passed
	case len(c.Info.Platforms) == 0:
		return rejected(v1.GatePlatforms, fmt.Sprintf("does not provide %s: it names no platform", list(absent)))
	default:
		return rejected(v1.GatePlatforms, fmt.Sprintf("does not provide %s, only %s", list(absent), list(c.Info.Platforms)))
	}
}

func (g Gates) signature(c Candidate, now time.Time) Decision {
	if g.Unverifiable != "" {
		return Decision{Verdict: Unknown, Gate: v1.GateVerify, Message: g.Unverifiable}
	}
	if g.VerifierFingerprint == "" {
		return passed
	}
	verdict, found := g.verdictOn(c, now)
	switch {
	case !found:
		return Decision{Need: NeedSignature}
	case verdict.Passed():
		return Decision{Verdict: v1.CandidatePassed, Message: "signed by " + verdict.Signer}
	default:
		return rejected(v1.GateVerify, verdict.Problem)
	}
}

// verdictOn returns the stored verification result for a candidate, and whether it may be used. If
// the rule depends on the time, a stored pass counts only for the current image; other candidates
// are verified again at now. A stored rejection counts for the current image only if it was
// verified at the time at which it was selected.
func (g Gates) verdictOn(c Candidate, now time.Time) (Verdict, bool) {
	verdict, found := c.Info.VerdictOf(g.VerifierFingerprint)
	switch {
	case !g.VerifierDependsOnTime:
	case c.Current && (!found || !verdict.Passed()):
		return c.Info.VerdictOf(g.verdictKey(c))
	case !c.Current && found && verdict.Passed() && verdict.At < now.Unix():
		return Verdict{}, false
	}
	return verdict, found
}

// verdictKey returns the key under which a verification result is stored. If the rule depends on
// the time, the result for the current image has a key with the time at which it was selected.
func (g Gates) verdictKey(c Candidate) string {
	if g.VerifierDependsOnTime && !c.SelectedAt.IsZero() {
		return g.VerifierFingerprint + " at " + formatTime(c.SelectedAt)
	}
	return g.VerifierFingerprint
}
