// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// evaluation evaluates one candidate.
type evaluation struct {
	Candidate
	evaluator *evaluator
	// digestChecked reports that the tag's digest was requested in this run, and verified that its
	// signatures were verified in this run.
	digestChecked, verified bool
	// detached reports that Info describes the current image while the tag is known to point to
	// another one.
	detached bool
	// requested reports that a request was sent for the candidate.
	requested bool
	known     ImageInfo // cached before the evaluation
}

// newEvaluation returns an evaluation that starts from what was fetched or, if nothing was, from
// the known image info.
func (e *evaluator) newEvaluation(tag string, known ImageInfo) *evaluation {
	info, found := e.result.Fetched[tag]
	if !found {
		info = known
	}
	ev := &evaluation{evaluator: e, Candidate: NewCandidate(tag, e.Snapshot, info), known: known}
	current := e.result.Current
	if tag == current.Tag && current.Digest != "" && !current.CheckDigest && current.Verdict != v1.CandidateRejected {
		ev.useCurrent()
	}
	return ev
}

// useCurrent makes the evaluation one of the current image.
func (ev *evaluation) useCurrent() {
	current := ev.evaluator.result.Current.Digest
	ev.detached = ev.Info.Digest != "" && ev.Info.Digest != current
	ev.Info = ev.Info.WithDigest(current, ev.evaluator.Now)
	ev.Current = true
}

// retry returns an evaluation of the image that the tag points to, after one of the current image.
// It sends no request for what is already known.
func (ev *evaluation) retry() *evaluation {
	next := ev.evaluator.newEvaluation(ev.Tag, ev.known)
	next.digestChecked, next.verified, next.requested = ev.digestChecked && ev.Info.Digest != "", ev.verified && !ev.detached, ev.requested
	return next
}

// replacesCurrent reports whether the tag is that of the current image, which was not rejected, and
// now points to another image.
func (ev *evaluation) replacesCurrent() bool {
	current := ev.evaluator.result.Current
	return ev.Tag == current.Tag && current.Digest != "" && current.Verdict != v1.CandidateRejected &&
		ev.Info.Digest != "" && ev.Info.Digest != current.Digest
}

// run evaluates the candidate and sends the requests that this requires.
func (ev *evaluation) run(ctx context.Context) (Decision, error) {
	if recheck, found := ev.evaluator.RecheckPolicy.Previous[ev.Tag]; found && recheck.Digest == "" && !ev.Current && !ev.isRecheckDue() {
		return ev.notFound(), nil
	}
	err := ev.checkCurrent(ctx)
	for err == nil {
		d := ev.evaluate()
		need := d.Need
		if need == NoNeed {
			need = ev.recheckNeed(d)
		}
		if need == NoNeed {
			return d, nil
		}
		err = ev.request(ctx, need)
	}
	if errors.Is(err, ErrNotFound) {
		ev.digestChecked = true
		return ev.notFound(), nil
	}
	return Decision{}, err
}

// checkCurrent requests the digest of the current image's tag if that is due.
func (ev *evaluation) checkCurrent(ctx context.Context) error {
	current := ev.evaluator.result.Current
	if ev.Tag != current.Tag || !current.CheckDigest || ev.Current || ev.digestChecked {
		return nil
	}
	err := ev.request(ctx, NeedDigest)
	ev.evaluator.result.CurrentChecked = err == nil
	ev.Current = err == nil && ev.Info.Digest == current.Digest && current.Verdict != v1.CandidateRejected
	return err
}

// notFound returns the decision for a tag without an image.
func (ev *evaluation) notFound() Decision {
	ev.Info = ImageInfo{}
	return rejected(v1.GateDigest, "is listed, but the registry has no image for it")
}

// evaluate evaluates the candidate based on what is known.
func (ev *evaluation) evaluate() Decision {
	current, c := ev.evaluator.result.Current, ev.Candidate
	if ev.Current && current.Verdict == v1.CandidatePassed {
		return Decision{Verdict: v1.CandidatePassed, Message: current.Message}
	}
	c.Current, c.SelectedAt = ev.isSelected(), ev.selectedAt()
	return ev.evaluator.Gates.Evaluate(c, ev.evaluator.Now)
}

// selectedAt returns when the current image was selected, or the present time if that is not known.
// It is zero for other images, and for one that was rejected, which is treated like them.
func (ev *evaluation) selectedAt() time.Time {
	current := ev.evaluator.result.Current
	if !ev.isSelected() || current.Verdict == v1.CandidateRejected {
		return time.Time{}
	}
	if current.SelectedAt.IsZero() {
		return ev.evaluator.Now
	}
	return current.SelectedAt
}

// isSelected reports whether the image is the selected one. If a tag was selected without a digest,
// its image at that time is unknown.
func (ev *evaluation) isSelected() bool {
	current := ev.evaluator.result.Current
	return ev.Current || ev.Tag == current.Tag && (current.Digest == "" || current.Digest == ev.Info.Digest)
}

// recheckNeed returns what must be checked again. A cached digest is confirmed before another image
// is selected. A rejected candidate is rechecked from time to time, since its tag may have been
// moved or a signature added.
func (ev *evaluation) recheckNeed(d Decision) Need {
	switch {
	case ev.Current:
	case !Blocks(d.Verdict) && !ev.digestChecked:
		return NeedDigest
	case d.Verdict != v1.CandidateRejected || !ev.isRecheckDue():
	case !ev.digestChecked:
		return NeedDigest
	case d.Gate == v1.GateVerify && !ev.verified:
		return NeedSignature
	}
	return NoNeed
}

func (ev *evaluation) isRecheckDue() bool {
	return ev.evaluator.RecheckPolicy.due(ev.Tag, ev.evaluator.Now)
}

// request fetches what is needed, within the budget.
func (ev *evaluation) request(ctx context.Context, need Need) error {
	if !ev.requested && ev.evaluator.requested >= ev.evaluator.Budget {
		return ErrBudgetExhausted
	}
	if !ev.requested {
		ev.requested = true
		ev.evaluator.requested++
	}
	info, err := ev.fetch(ctx, need)
	if err != nil {
		return err
	}
	ev.Info = info
	ev.digestChecked = ev.digestChecked || need == NeedDigest
	ev.verified = ev.verified || need == NeedSignature
	if !ev.detached {
		ev.evaluator.result.Fetched[ev.Tag] = info
	}
	return nil
}

// fetch returns the image info completed with what is needed.
func (ev *evaluation) fetch(ctx context.Context, need Need) (ImageInfo, error) {
	images, now := ev.evaluator.images, ev.evaluator.Now
	switch need {
	case NeedDigest:
		digest, err := images.Digest(ctx, ev.Tag)
		return ev.Info.WithDigest(digest, now), err
	case NeedSignature:
		c, at := ev.Candidate, now
		if c.SelectedAt = ev.selectedAt(); !c.SelectedAt.IsZero() {
			at = c.SelectedAt
		}
		signer, problem, err := images.Verify(ctx, ev.Info.Digest, at)
		return ev.Info.WithVerdict(ev.evaluator.Gates.verdictKey(c), signer, problem, now), err
	default:
		details, err := images.Read(ctx, ev.Info.Digest, ReadOptions{Platforms: need == NeedPlatforms, Created: need == NeedCreated})
		return ev.Info.Merge(details), err
	}
}
