// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// trial is a candidate that is being judged.
type trial struct {
	Candidate
	of *evaluation
	// fresh reports that the registry was asked what the tag points at, and verified that its
	// signatures were verified.
	fresh, verified bool
	// apart reports that the fact is about another image than the tag points at, as far as is
	// known.
	apart bool
	// asked reports that the registry was asked about the candidate.
	asked bool
}

func (e *evaluation) trial(tag string) *trial {
	fact, learned := e.result.Facts[tag]
	if !learned {
		fact = e.Facts[tag]
	}
	t := &trial{of: e, Candidate: NewCandidate(tag, e.Snapshot, fact)}
	if held := e.result.Held; tag == held.Tag && held.Digest != "" && !held.Look && held.Verdict != v1.CandidateRejected {
		t.hold()
	}
	return t
}

// hold makes it a trial of the image that is held.
func (t *trial) hold() {
	held := t.of.result.Held.Digest
	t.apart = t.Fact.Digest != "" && t.Fact.Digest != held
	t.Fact = t.Fact.At(held, t.of.Now)
	t.Held = true
}

// anew returns the trial of what the tag points at, after that of the image that is held. The
// registry is not asked again for what is known already.
func (t *trial) anew() *trial {
	next := t.of.trial(t.Tag)
	next.fresh, next.verified, next.asked = t.fresh && t.Fact.Digest != "", t.verified && !t.apart, t.asked
	return next
}

// isMoved reports whether the tag is that of the image that is held, which passed or was not
// judged, and points at another image.
func (t *trial) isMoved() bool {
	held := t.of.result.Held
	return t.Tag == held.Tag && held.Digest != "" && held.Verdict != v1.CandidateRejected &&
		t.Fact.Digest != "" && t.Fact.Digest != held.Digest
}

// judge judges the candidate, and learns what that takes.
func (t *trial) judge(ctx context.Context) (Judgement, error) {
	if look, seen := t.of.Recheck.Looks[t.Tag]; seen && look.Digest == "" && !t.Held && !t.due() {
		return t.gone(), nil
	}
	err := t.lookAtHeld(ctx)
	for err == nil {
		j := t.judgement()
		need := j.Need
		if need == NoNeed {
			need = t.again(j)
		}
		if need == NoNeed {
			return j, nil
		}
		err = t.ask(ctx, need)
	}
	if errors.Is(err, ErrGone) {
		t.fresh = true
		return t.gone(), nil
	}
	return Judgement{}, err
}

// lookAtHeld looks whether the tag of the image that is held still points at it, where it is
// time to.
func (t *trial) lookAtHeld(ctx context.Context) error {
	held := t.of.result.Held
	if t.Tag != held.Tag || !held.Look || t.Held || t.fresh {
		return nil
	}
	err := t.ask(ctx, NeedDigest)
	t.of.result.Looked = err == nil
	t.Held = err == nil && t.Fact.Digest == held.Digest && held.Verdict != v1.CandidateRejected
	return err
}

// gone is the judgement of a candidate for which the registry has no image.
func (t *trial) gone() Judgement {
	t.Fact = Fact{}
	return rejected(v1.GateDigest, "is listed, but the registry has no image for it")
}

// judgement is the one by what is known of the candidate.
func (t *trial) judgement() Judgement {
	held, c := t.of.result.Held, t.Candidate
	if t.Held && held.Verdict == v1.CandidatePassed {
		return Judgement{Verdict: v1.CandidatePassed, Message: held.Message}
	}
	// which image a tag had that was selected without a digest is not known
	c.Held = c.Held || c.Tag == held.Tag && (held.Digest == "" || held.Digest == c.Fact.Digest)
	return t.of.Gates.Judge(c, t.of.Now)
}

// again returns what has to be looked at again. What the tag pointed at some time ago is
// confirmed before another image is selected. Now and then a rejected candidate is looked at:
// the tag may have been moved, or a signature added.
func (t *trial) again(j Judgement) Need {
	switch {
	case t.Held:
	case !Stops(j.Verdict) && !t.fresh:
		return NeedDigest
	case j.Verdict != v1.CandidateRejected || !t.due():
	case !t.fresh:
		return NeedDigest
	case j.Gate == v1.GateVerify && !t.verified:
		return NeedVerdict
	}
	return NoNeed
}

func (t *trial) due() bool { return t.of.Recheck.due(t.Tag, t.of.Now) }

// ask asks the registry for what has to be learned.
func (t *trial) ask(ctx context.Context, need Need) error {
	if !t.asked && t.of.asked >= t.of.Budget {
		return ErrUnfinished
	}
	if !t.asked {
		t.asked = true
		t.of.asked++
	}
	fact, err := t.answer(ctx, need)
	if err != nil {
		return err
	}
	t.Fact = fact
	t.fresh = t.fresh || need == NeedDigest
	t.verified = t.verified || need == NeedVerdict
	if !t.apart {
		t.of.result.Facts[t.Tag] = fact
	}
	return nil
}

// answer returns the fact with what has to be learned.
func (t *trial) answer(ctx context.Context, need Need) (Fact, error) {
	images, now := t.of.images, t.of.Now
	switch need {
	case NeedDigest:
		digest, err := images.Digest(ctx, t.Tag)
		return t.Fact.At(digest, now), err
	case NeedVerdict:
		signer, problem, err := images.Verify(ctx, t.Fact.Digest)
		return t.Fact.WithVerdict(t.of.Gates.Rule, signer, problem, now), err
	default:
		read, err := images.Read(ctx, t.Fact.Digest, Wants{Platforms: need == NeedPlatforms, Created: need == NeedCreated})
		return t.Fact.With(read), err
	}
}
