// SPDX-License-Identifier: Apache-2.0

package candidate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Gates are what a candidate has to pass.
type Gates struct {
	// Platforms are those that the image must have, each in its one spelling.
	Platforms []string
	// MinimumAge is how old the image must be.
	MinimumAge time.Duration
	// Rule stands for the rule by which the image must be signed, empty for none.
	Rule string
}

// Compile returns the gates of a policy, less the rule of its verification.
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

// Candidate is a tag that is judged.
type Candidate struct {
	// Tag is the tag.
	Tag string
	// FirstSeen is when a scan first found the tag, and Since when the first
	// scan of the repository ended, in seconds since the epoch.
	FirstSeen, Since int64
	// Fact is what is known of the tag's image. One without a digest is nothing.
	Fact Fact
	// Held says that the image is selected already.
	Held bool
}

// Need is what has to be learned of a candidate before it can be judged.
type Need int

// The needs.
const (
	// NoNeed says that the candidate is judged.
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

// Judgement is what a candidate comes to.
type Judgement struct {
	// Need is what is to be learned first. Nothing else counts beside it.
	Need Need
	// Verdict is Passed, Rejected or Ripening.
	Verdict v1.CandidateVerdict
	// Gate is the one that was not passed.
	Gate string
	// Message says why, or who signed.
	Message string
	// Ripe is when a ripening candidate is old enough.
	Ripe time.Time
}

func need(n Need) Judgement { return Judgement{Need: n} }

func rejected(gate, message string) Judgement {
	return Judgement{Verdict: v1.CandidateRejected, Gate: gate, Message: message}
}

// Judge says whether a candidate passes the gates, or what has to be learned
// before that can be said.
func (g Gates) Judge(c Candidate, now time.Time) Judgement {
	if c.Fact.Digest == "" {
		return need(NeedDigest)
	}
	passed := Judgement{Verdict: v1.CandidatePassed}
	for _, gate := range []func(Candidate, time.Time) Judgement{g.age, g.platforms, g.signature} {
		j := gate(c, now)
		if j.Need != NoNeed || j.Verdict != v1.CandidatePassed {
			return j
		}
		passed.Message += j.Message
	}
	return passed
}

// age judges by the time at which the tag was first seen with its digest. Of a
// tag that was there at the first scan nobody knows that: its image says when it
// was created, unless that is after it was seen. What is selected already is old
// enough.
func (g Gates) age(c Candidate, now time.Time) Judgement {
	if g.MinimumAge == 0 || c.Held {
		return Judgement{Verdict: v1.CandidatePassed}
	}
	since, known, source := c.Fact.Seen, "first seen", ""
	if c.FirstSeen <= c.Since && !c.Fact.Moved {
		switch {
		case c.Fact.Created == CreatedUnread:
			return need(NeedCreated)
		case c.Fact.Created != CreatedUnsaid && c.Fact.Created <= c.Fact.Seen:
			since, known, source = c.Fact.Created, "created", " according to "+c.Fact.CreatedBy.String()
		}
	}
	ripe := time.Unix(since, 0).Add(g.MinimumAge)
	if !ripe.After(now) {
		return Judgement{Verdict: v1.CandidatePassed}
	}
	return Judgement{Verdict: v1.CandidateRipening, Gate: v1.GateMinimumAge, Ripe: ripe,
		Message: fmt.Sprintf("was %s at %s%s, and is old enough at %s", known, stamp(time.Unix(since, 0)), source, stamp(ripe))}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (g Gates) platforms(c Candidate, _ time.Time) Judgement {
	if len(g.Platforms) == 0 {
		return Judgement{Verdict: v1.CandidatePassed}
	}
	if !c.Fact.Read {
		return need(NeedPlatforms)
	}
	lacking := missing(g.Platforms, c.Fact.Platforms)
	if len(lacking) == 0 {
		return Judgement{Verdict: v1.CandidatePassed}
	}
	if len(c.Fact.Platforms) == 0 {
		return rejected(v1.GatePlatforms, fmt.Sprintf("does not provide %s: it names no platform", list(lacking)))
	}
	return rejected(v1.GatePlatforms, fmt.Sprintf("does not provide %s, only %s", list(lacking), list(c.Fact.Platforms)))
}

func (g Gates) signature(c Candidate, _ time.Time) Judgement {
	if g.Rule == "" {
		return Judgement{Verdict: v1.CandidatePassed}
	}
	verdict, found := c.Fact.VerdictOf(g.Rule)
	switch {
	case !found:
		return need(NeedVerdict)
	case verdict.Passed():
		return Judgement{Verdict: v1.CandidatePassed, Message: "signed by " + verdict.Signer}
	default:
		return rejected(v1.GateVerify, verdict.Problem)
	}
}
