// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// newEvaluation is a candidate that is being judged.
type evaluation struct {
	Candidate
	evaluator *evaluator
	// digestChecked reports that the registry was asked what the tag points at, and verified that its
	// signatures were verified.
	digestChecked, verified bool
	// detached reports that the fact is about another image than the tag points at, as far as is
	// known.
	detached bool
	// requested reports that the registry was asked about the candidate.
	requested bool
}

func (e *evaluator) newEvaluation(tag string) *evaluation {
	fact, learned := e.result.Learned[tag]
	if !learned {
		fact = e.Known[tag]
	}
	t := &evaluation{evaluator: e, Candidate: NewCandidate(tag, e.Snapshot, fact)}
	if held := e.result.Current; tag == held.Tag && held.Digest != "" && !held.CheckDigest && held.Verdict != v1.CandidateRejected {
		t.useCurrent()
	}
	return t
}

// useCurrent makes it a trial of the image that is held.
func (t *evaluation) useCurrent() {
	held := t.evaluator.result.Current.Digest
	t.detached = t.Info.Digest != "" && t.Info.Digest != held
	t.Info = t.Info.WithDigest(held, t.evaluator.Now)
	t.Current = true
}

// retry returns the trial of what the tag points at, after that of the image that is held. The
// registry is not asked again for what is known already.
func (t *evaluation) retry() *evaluation {
	next := t.evaluator.newEvaluation(t.Tag)
	next.digestChecked, next.verified, next.requested = t.digestChecked && t.Info.Digest != "", t.verified && !t.detached, t.requested
	return next
}

// replacesCurrent reports whether the tag is that of the image that is held, which passed or was not
// judged, and points at another image.
func (t *evaluation) replacesCurrent() bool {
	held := t.evaluator.result.Current
	return t.Tag == held.Tag && held.Digest != "" && held.Verdict != v1.CandidateRejected &&
		t.Info.Digest != "" && t.Info.Digest != held.Digest
}

// run judges the candidate, and learns what that takes.
func (t *evaluation) run(ctx context.Context) (Decision, error) {
	if look, seen := t.evaluator.RecheckPolicy.Previous[t.Tag]; seen && look.Digest == "" && !t.Current && !t.isRecheckDue() {
		return t.notFound(), nil
	}
	err := t.checkCurrent(ctx)
	for err == nil {
		j := t.evaluate()
		need := j.Need
		if need == NoNeed {
			need = t.recheckNeed(j)
		}
		if need == NoNeed {
			return j, nil
		}
		err = t.request(ctx, need)
	}
	if errors.Is(err, ErrNotFound) {
		t.digestChecked = true
		return t.notFound(), nil
	}
	return Decision{}, err
}

// checkCurrent looks whether the tag of the image that is held still points at it, where it is
// time to.
func (t *evaluation) checkCurrent(ctx context.Context) error {
	held := t.evaluator.result.Current
	if t.Tag != held.Tag || !held.CheckDigest || t.Current || t.digestChecked {
		return nil
	}
	err := t.request(ctx, NeedDigest)
	t.evaluator.result.CurrentChecked = err == nil
	t.Current = err == nil && t.Info.Digest == held.Digest && held.Verdict != v1.CandidateRejected
	return err
}

// notFound is the judgement of a candidate for which the registry has no image.
func (t *evaluation) notFound() Decision {
	t.Info = ImageInfo{}
	return rejected(v1.GateDigest, "is listed, but the registry has no image for it")
}

// evaluate is the one by what is known of the candidate.
func (t *evaluation) evaluate() Decision {
	held, c := t.evaluator.result.Current, t.Candidate
	if t.Current && held.Verdict == v1.CandidatePassed {
		return Decision{Verdict: v1.CandidatePassed, Message: held.Message}
	}
	// which image a tag had that was selected without a digest is not known
	c.Current = c.Current || c.Tag == held.Tag && (held.Digest == "" || held.Digest == c.Info.Digest)
	return t.evaluator.Gates.Evaluate(c, t.evaluator.Now)
}

// recheckNeed returns what has to be looked at again. What the tag pointed at some time ago is
// confirmed before another image is selected. Now and then a rejected candidate is looked at:
// the tag may have been moved, or a signature added.
func (t *evaluation) recheckNeed(j Decision) Need {
	switch {
	case t.Current:
	case !Blocks(j.Verdict) && !t.digestChecked:
		return NeedDigest
	case j.Verdict != v1.CandidateRejected || !t.isRecheckDue():
	case !t.digestChecked:
		return NeedDigest
	case j.Gate == v1.GateVerify && !t.verified:
		return NeedVerdict
	}
	return NoNeed
}

func (t *evaluation) isRecheckDue() bool {
	return t.evaluator.RecheckPolicy.due(t.Tag, t.evaluator.Now)
}

// request asks the registry for what has to be learned.
func (t *evaluation) request(ctx context.Context, need Need) error {
	if !t.requested && t.evaluator.requested >= t.evaluator.Budget {
		return ErrBudgetExceeded
	}
	if !t.requested {
		t.requested = true
		t.evaluator.requested++
	}
	fact, err := t.fetch(ctx, need)
	if err != nil {
		return err
	}
	t.Info = fact
	t.digestChecked = t.digestChecked || need == NeedDigest
	t.verified = t.verified || need == NeedVerdict
	if !t.detached {
		t.evaluator.result.Learned[t.Tag] = fact
	}
	return nil
}

// fetch returns the fact with what has to be learned.
func (t *evaluation) fetch(ctx context.Context, need Need) (ImageInfo, error) {
	images, now := t.evaluator.images, t.evaluator.Now
	switch need {
	case NeedDigest:
		digest, err := images.Digest(ctx, t.Tag)
		return t.Info.WithDigest(digest, now), err
	case NeedVerdict:
		signer, problem, err := images.Verify(ctx, t.Info.Digest)
		return t.Info.WithVerdict(t.evaluator.Gates.Rule, signer, problem, now), err
	default:
		read, err := images.Read(ctx, t.Info.Digest, Wants{Platforms: need == NeedPlatforms, Created: need == NeedCreated})
		return t.Info.Merge(read), err
	}
}
