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

// Gates are what the image of a candidate has to pass.
type Gates struct {
	// Platforms are those that the image must provide, each in its one spelling.
	Platforms []string
	// MinimumAge is how old the image must be.
	MinimumAge time.Duration
	// Rule is the fingerprint of the rule by which the image must be signed, empty for none.
	Rule string
	// Unverifiable is why signatures can't be verified, empty where they can. An image that
	// passes the other gates is Unknown then.
	Unverifiable string
	// Age judges in place of MinimumAge where it is not nil: without the facts of the
	// controller, it is not known since when the age of an image counts.
	Age func(c Candidate, now time.Time) Decision
}

// Compile returns the gates of a policy, but for the rule of its verification.
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

// Candidate is a tag whose image is judged.
type Candidate struct {
	// Tag is the tag.
	Tag string
	// FirstSeen is when a scan first found the tag, and Since when the first scan of the
	// repository ended, in seconds since the epoch.
	FirstSeen, Since int64
	// ImageInfo is what is known of the tag's image: nothing where it has no digest.
	Info ImageInfo
	// Current reports that the image is selected already.
	Current bool
}

// NewCandidate returns the candidate of a tag. One that is not listed was first seen at the epoch.
func NewCandidate(tag string, snapshot scan.Snapshot, fact ImageInfo) Candidate {
	firstSeen, _ := snapshot.FirstSeenAt(tag)
	return Candidate{Tag: tag, FirstSeen: firstSeen, Since: snapshot.Since, Info: fact}
}

// Need is what has to be learned of a candidate before it can be judged.
type Need int

// The needs.
const (
	// NoNeed is that of a candidate which is judged.
	NoNeed Need = iota
	// NeedDigest is what the tag points at.
	NeedDigest
	// NeedPlatforms are the platforms of the image.
	NeedPlatforms
	// NeedCreated is when the image was created.
	NeedCreated
	// NeedVerdict is whether it is signed.
	NeedVerdict
)

// Unknown is the verdict on a candidate that passes the gates which can be judged, where one
// can't be. No status has it.
const Unknown v1.CandidateVerdict = "Unknown"

// Decision is the result of judging a candidate.
type Decision struct {
	// Need is what is to be learned first. Nothing else counts beside it.
	Need Need
	// Verdict is Passed, Rejected, Pending or Unknown.
	Verdict v1.CandidateVerdict
	// Gate is the one that was not passed.
	Gate string
	// Message is the reason, or who signed.
	Message string
	// EligibleAt is when a pending candidate is old enough.
	EligibleAt time.Time
}

// Blocks reports whether a verdict keeps a candidate from being selected.
func Blocks(verdict v1.CandidateVerdict) bool {
	return verdict == v1.CandidateRejected || verdict == v1.CandidatePending
}

// passed is the judgement of a gate on what it lets through.
var passed = Decision{Verdict: v1.CandidatePassed}

func rejected(gate, message string) Decision {
	return Decision{Verdict: v1.CandidateRejected, Gate: gate, Message: message}
}

// Evaluate judges a candidate by all gates, in their order, or returns what has to be learned
// before that can be done.
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
		j := gate(c, now)
		if j.Need != NoNeed || Blocks(j.Verdict) {
			return j
		}
		if j.Verdict == Unknown || result.Verdict == v1.CandidatePassed {
			result = j
		}
	}
	return result
}

// age judges by the time at which the tag was first seen with its digest. Of a tag that was
// there at the first scan that is not known: what counts then is when its image states that it
// was created, unless that is after it was seen. What is selected already is old enough.
func (g Gates) age(c Candidate, now time.Time) Decision {
	if g.MinimumAge == 0 || c.Current {
		return passed
	}
	since, known, source := c.Info.DigestSince, "first seen", ""
	if c.FirstSeen <= c.Since && !c.Info.DigestChanged {
		switch {
		case c.Info.Created == CreatedUnread:
			return Decision{Need: NeedCreated}
		case c.Info.Created != CreatedUnsaid && c.Info.Created <= c.Info.DigestSince:
			since, known, source = c.Info.Created, "created", " according to "+c.Info.CreatedBy.String()
		}
	}
	ripe := time.Unix(since, 0).Add(g.MinimumAge)
	if !ripe.After(now) {
		return passed
	}
	return Decision{Verdict: v1.CandidatePending, Gate: v1.GateMinimumAge, EligibleAt: ripe,
		Message: fmt.Sprintf("was %s at %s%s, and is old enough at %s", known, formatTime(time.Unix(since, 0)), source, formatTime(ripe))}
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (g Gates) platforms(c Candidate, _ time.Time) Decision {
	if len(g.Platforms) == 0 {
		return passed
	}
	if !c.Info.PlatformsKnown {
		return Decision{Need: NeedPlatforms}
	}
	lacking := missing(g.Platforms, c.Info.Platforms)
	switch {
	case len(lacking) == 0:
		return passed
	case len(c.Info.Platforms) == 0:
		return rejected(v1.GatePlatforms, fmt.Sprintf("does not provide %s: it names no platform", list(lacking)))
	default:
		return rejected(v1.GatePlatforms, fmt.Sprintf("does not provide %s, only %s", list(lacking), list(c.Info.Platforms)))
	}
}

func (g Gates) signature(c Candidate, _ time.Time) Decision {
	if g.Unverifiable != "" {
		return Decision{Verdict: Unknown, Gate: v1.GateVerify, Message: g.Unverifiable}
	}
	if g.Rule == "" {
		return passed
	}
	verdict, found := c.Info.VerdictOf(g.Rule)
	switch {
	case !found:
		return Decision{Need: NeedVerdict}
	case verdict.Passed():
		return Decision{Verdict: v1.CandidatePassed, Message: "signed by " + verdict.Signer}
	default:
		return rejected(v1.GateVerify, verdict.Problem)
	}
}
