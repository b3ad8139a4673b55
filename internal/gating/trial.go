// SPDX-License-Identifier: Apache-2.0

package gating

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/candidate"
	"github.com/fluxcd/image-reflector-controller/internal/inspect"
)

// trial is a candidate that is being judged.
type trial struct {
	walk *Walk
	candidate.Candidate
	// fresh says that the registry was asked what the tag points at, and verified
	// that its signatures were looked at.
	fresh, verified bool
	// apart says that the fact is about another image than the tag points at, as
	// far as is known.
	apart bool
	asked bool
}

func (w *Walk) trial(tag string) *trial {
	firstSeen, _ := w.Snapshot.FirstSeenAt(tag) // the epoch for one that is not listed
	t := &trial{walk: w, Candidate: candidate.Candidate{
		Tag: tag, FirstSeen: firstSeen, Since: w.Snapshot.Since, Fact: w.known(tag),
	}}
	if tag == w.Held.Tag && w.Held.Digest != "" && !w.Held.Look && !w.Held.Failed {
		t.hold()
	}
	return t
}

// hold makes it a trial of the image that is held.
func (t *trial) hold() {
	held := t.walk.Held.Digest
	t.apart = t.Fact.Digest != "" && t.Fact.Digest != held
	t.Fact = t.Fact.At(held, t.walk.Now)
	t.Held = true
}

// anew returns the trial of what the tag points at, after that of an image that is
// held. What was asked for is not asked for again.
func (t *trial) anew() *trial {
	next := t.walk.trial(t.Tag)
	next.fresh, next.verified, next.asked = t.fresh && t.Fact.Digest != "", t.verified && !t.apart, t.asked
	return next
}

// judge judges the candidate, and learns what that takes.
func (t *trial) judge(ctx context.Context) (candidate.Judgement, error) {
	if look, seen := t.walk.Looks[t.Tag]; seen && look.Digest == "" && !t.Held && !t.due() {
		return t.gone()
	}
	if err := t.lookAtHeld(ctx); err != nil {
		return t.failed(err)
	}
	for {
		j := t.judgement()
		need := j.Need
		if need == candidate.NoNeed {
			if need = t.again(j); need == candidate.NoNeed {
				return j, nil
			}
		}
		if err := t.ask(ctx, need); err != nil {
			return t.failed(err)
		}
	}
}

// lookAtHeld looks whether the tag that is held still points at the image that is,
// where it is time to.
func (t *trial) lookAtHeld(ctx context.Context) error {
	held := t.walk.Held
	if t.Tag != held.Tag || !held.Look || t.Held || t.fresh {
		return nil
	}
	err := t.ask(ctx, candidate.NeedDigest)
	t.walk.Looking = err == nil
	t.Held = err == nil && t.Fact.Digest == held.Digest && !held.Failed
	return err
}

// failed is the judgement of a candidate about which the registry could not be asked,
// or has no image.
func (t *trial) failed(err error) (candidate.Judgement, error) {
	if errors.Is(err, ErrGone) {
		t.fresh = true
		return t.gone()
	}
	return candidate.Judgement{}, err
}

func (t *trial) gone() (candidate.Judgement, error) {
	t.Fact = candidate.Fact{}
	return candidate.Judgement{
		Verdict: v1.CandidateRejected, Gate: v1.GateDigest, Message: "is listed, but the registry has no image for it",
	}, nil
}

// judgement is what is known of the candidate to come to.
func (t *trial) judgement() candidate.Judgement {
	held, c := t.walk.Held, t.Candidate
	if t.Held && held.Passed {
		return candidate.Judgement{Verdict: v1.CandidatePassed, Message: held.Message}
	}
	// of a tag that was selected without a digest, nobody knows which image it was
	c.Held = c.Held || c.Tag == held.Tag && (held.Digest == "" || held.Digest == c.Fact.Digest)
	return t.walk.Gates.Judge(c, t.walk.Now)
}

// again returns what of a judgement has to be looked at again. What the tag pointed
// at some time ago is confirmed before something else is selected. Now and then
// a rejected candidate is looked at: the tag may have been moved, or a signature added.
func (t *trial) again(j candidate.Judgement) candidate.Need {
	switch {
	case t.Held:
	case j.Verdict == v1.CandidatePassed && !t.fresh:
		return candidate.NeedDigest
	case j.Verdict != v1.CandidateRejected || !t.due():
	case !t.fresh:
		return candidate.NeedDigest
	case j.Gate == v1.GateVerify && !t.verified:
		return candidate.NeedVerdict
	}
	return candidate.NoNeed
}

// due reports whether a rejected candidate is to be looked at again.
func (t *trial) due() bool {
	look, seen := t.walk.Looks[t.Tag]
	return look.At.Before(t.walk.LookAgain) || seen && !t.walk.Now.Before(look.next(t.walk.Interval))
}

// ask asks the registry for what has to be learned.
func (t *trial) ask(ctx context.Context, need candidate.Need) error {
	if !t.asked && t.walk.asked >= t.walk.Budget {
		return ErrUnfinished
	}
	if !t.asked {
		t.asked = true
		t.walk.asked++
	}
	err := t.answer(ctx, need)
	if err == nil && !t.apart {
		t.walk.learn(t.Tag, t.Fact)
	}
	return err
}

func (t *trial) answer(ctx context.Context, need candidate.Need) error {
	switch need {
	case candidate.NeedDigest:
		digest, err := t.walk.Asker.Digest(ctx, t.Tag)
		if err == nil {
			t.Fact, t.fresh = t.Fact.At(digest, t.walk.Now), true
		}
		return err
	case candidate.NeedVerdict:
		signer, problem, err := t.walk.Asker.Verify(ctx, t.Fact.Digest)
		if err == nil {
			t.Fact, t.verified = t.Fact.WithVerdict(t.walk.Gates.Rule, signer, problem, t.walk.Now), true
		}
		return err
	default:
		wants := inspect.Wants{Platforms: need == candidate.NeedPlatforms, Created: need == candidate.NeedCreated}
		img, err := t.walk.Asker.Image(ctx, t.Fact.Digest, wants)
		if err == nil {
			t.Fact = Describe(t.Fact, img)
		}
		return err
	}
}

// Describe returns a fact with what an image says of itself.
func Describe(fact candidate.Fact, img inspect.Image) candidate.Fact {
	if img.Read {
		fact.Read, fact.Platforms = true, img.Platforms
	}
	if img.Created != candidate.CreatedUnread {
		fact.Created, fact.CreatedBy = img.Created, img.CreatedBy
	}
	return fact
}

// stamp returns a time as a status has it.
func stamp(t time.Time) *metav1.Time { return new(metav1.NewTime(t).Rfc3339Copy()) }
