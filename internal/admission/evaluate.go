// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// ErrNotFound is returned by Images if the registry has no image for a tag or digest.
var ErrNotFound = errors.New("the registry has no such image")

// ErrBudgetExhausted is returned if the budget is used up before a candidate passes. The next
// evaluation continues there if its Input contains what this one fetched and rechecked.
var ErrBudgetExhausted = errors.New("there are more candidates to evaluate")

// Budget is the number of candidates for which one evaluation sends requests. A candidate that is
// retained can be counted twice.
const Budget = 16

// Images reads the images of one repository from a registry.
type Images interface {
	// Digest returns the digest that a tag points to.
	Digest(ctx context.Context, tag string) (string, error)
	// Read returns the digest of the image at a tag or digest, and the requested details.
	Read(ctx context.Context, reference string, wants ReadOptions) (ImageInfo, error)
	// Verify returns the signer of the image at a digest, or the problem with its signatures. now is
	// the time for rules that depend on it. The error reports a verification that could not be completed.
	Verify(ctx context.Context, digest string, now time.Time) (signer, problem string, err error)
}

// ReadOptions selects the details that are read from an image.
type ReadOptions struct {
	Platforms, Created bool
}

// Input is the input of an evaluation. Evaluate does not modify it.
type Input struct {
	// Gates are the gates of the policy.
	Gates Gates
	// Snapshot provides the times at which tags were first seen.
	Snapshot scan.Snapshot
	// Known returns the cached image info of a tag. It is nil if nothing is cached.
	Known func(ctx context.Context, tag string) (ImageInfo, error)
	// Current is the selected image.
	Current Current
	// RecheckPolicy determines when rejected candidates are checked again.
	RecheckPolicy RecheckPolicy
	// Budget is the number of candidates for which requests are sent.
	Budget int
	// Now is the time of the evaluation.
	Now time.Time
}

// Result is the result of an evaluation. On error it holds what was fetched until then.
type Result struct {
	// Selected is the best candidate that passes, or nil if none does.
	Selected *Selection
	// Evaluated lists the evaluated candidates, best first.
	Evaluated []v1.CandidateStatus
	// Fetched holds the new image info, by tag.
	Fetched map[string]ImageInfo
	// Rechecks holds the checks of the candidates that this evaluation rejected.
	Rechecks Rechecks
	// Current is the image that is selected after the evaluation, with its verdict.
	Current Current
	// CurrentChecked reports whether the digest of the current image's tag was requested.
	CurrentChecked bool
	// Next is the time at which another evaluation may have another result, or zero for never.
	Next time.Time
}

// Insert returns the combined result of r and of the evaluation of one more candidate, which ranks
// above the selected one of r. above reports whether another tag ranks above that candidate. If it
// passes, it is selected, and the candidates below it are dropped, as if they were not evaluated.
func (r Result) Insert(one Result, above func(tag string) bool) Result {
	rank := slices.IndexFunc(r.Evaluated, func(c v1.CandidateStatus) bool { return !above(c.Tag) })
	if rank < 0 {
		rank = len(r.Evaluated)
	}
	if one.Selected != nil {
		r.Selected, r.Current, r.Evaluated = one.Selected, one.Current, r.Evaluated[:rank]
	}
	r.Evaluated = slices.Insert(slices.Clone(r.Evaluated), rank, one.Evaluated...)
	infos, rechecks := maps.Clone(r.Fetched), maps.Clone(r.Rechecks)
	maps.Copy(infos, one.Fetched)
	maps.Copy(rechecks, one.Rechecks)
	r.Fetched, r.Rechecks = infos, rechecks
	r.CurrentChecked = r.CurrentChecked || one.CurrentChecked
	if r.Next.IsZero() || !one.Next.IsZero() && one.Next.Before(r.Next) {
		r.Next = one.Next
	}
	return r
}

// Selection is the best candidate that passed, with the digest that was evaluated.
type Selection struct{ Tag, Digest string }

// Evaluate evaluates ranked candidates, best first, until one passes. It returns
// ErrBudgetExhausted, or an error of images other than ErrNotFound.
func Evaluate(ctx context.Context, images Images, in Input, ranking iter.Seq[selection.Choice]) (Result, error) {
	e := &evaluator{Input: in, images: images, result: Result{Fetched: map[string]ImageInfo{}, Rechecks: Rechecks{}, Current: in.Current}}
	for choice := range ranking {
		selected, err := e.try(ctx, choice.Tag)
		if selected != nil || err != nil {
			e.result.Selected = selected
			return e.result, err
		}
	}
	return e.result, nil
}

// evaluator is the state of one call of Evaluate.
type evaluator struct {
	Input
	images    Images
	result    Result
	requested int // number of candidates with requests
}

// known returns the cached image info of a tag.
func (e *evaluator) known(ctx context.Context, tag string) (ImageInfo, error) {
	if e.Known == nil {
		return ImageInfo{}, nil
	}
	return e.Known(ctx, tag)
}

// try evaluates a tag and returns it if it passes the gates, or nil.
func (e *evaluator) try(ctx context.Context, tag string) (*Selection, error) {
	info, err := e.known(ctx, tag)
	if err != nil {
		return nil, err
	}
	ev := e.newEvaluation(tag, info)
	d, err := ev.run(ctx)
	if err == nil && ev.Current && Blocks(d.Verdict) {
		e.result.Current.Verdict = v1.CandidateRejected
		ev = ev.retry()
		d, err = ev.run(ctx)
	}
	switch {
	case err != nil:
		return nil, err
	case !Blocks(d.Verdict):
		e.record(ev, d)
		e.result.Current = Current{Tag: tag, Digest: ev.Info.Digest, Verdict: d.Verdict, Message: d.Message}
		return &Selection{Tag: tag, Digest: ev.Info.Digest}, nil
	case ev.replacesCurrent():
		return e.retain(ctx, ev, d)
	default:
		e.record(ev, d)
		return nil, nil
	}
}

// retain returns the current image, if it still passes, although its tag was moved to an image that
// does not.
func (e *evaluator) retain(ctx context.Context, moved *evaluation, decision Decision) (*Selection, error) {
	ev := e.newEvaluation(moved.Tag, moved.known)
	ev.useCurrent()
	d, err := ev.run(ctx)
	if err != nil {
		return nil, err
	}
	e.record(moved, decision)
	current := &e.result.Current
	if Blocks(d.Verdict) {
		current.Verdict = v1.CandidateRejected
		return nil, nil
	}
	current.Verdict, current.Message = v1.CandidatePassed, d.Message
	last := &e.result.Evaluated[len(e.result.Evaluated)-1]
	last.Verdict = v1.CandidateRetained
	last.Message += "; " + current.Digest + ", which passed before, stays selected"
	return &Selection{Tag: current.Tag, Digest: current.Digest}, nil
}

// record adds a candidate to the result and the time of its next evaluation.
func (e *evaluator) record(ev *evaluation, d Decision) {
	status := v1.CandidateStatus{Tag: ev.Tag, Digest: ev.Info.Digest, Verdict: d.Verdict, Gate: d.Gate, Message: d.Message}
	switch d.Verdict {
	case v1.CandidatePending:
		status.EligibleAt = new(metav1.NewTime(d.EligibleAt).Rfc3339Copy())
		e.limitNext(d.EligibleAt)
	case v1.CandidateRejected:
		e.limitNext(e.RecheckPolicy.next(e.recheck(ev, d.Gate)))
	}
	e.result.Evaluated = append(e.result.Evaluated, status)
}

// recheck records a check of a rejected candidate. A rejection based on cached image info counts as
// a check, so that a restarted process does not query the registry at once.
func (e *evaluator) recheck(ev *evaluation, gate string) Recheck {
	recheck, found := e.RecheckPolicy.Previous[ev.Tag]
	checked := ev.digestChecked && (gate != v1.GateVerify || ev.verified)
	if !found || checked || recheck.Digest != ev.Info.Digest {
		recheck = recheck.next(ev.Info.Digest, e.Now)
	}
	e.result.Rechecks[ev.Tag] = recheck
	return recheck
}

// limitNext ensures that the next evaluation is not later than a time.
func (e *evaluator) limitNext(at time.Time) {
	if e.result.Next.IsZero() || at.Before(e.result.Next) {
		e.result.Next = at
	}
}
