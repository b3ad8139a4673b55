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

// ErrNotFound is the error of Images where the registry answers that it has no image for a tag or a
// digest.
var ErrNotFound = errors.New("the registry has no such image")

// ErrBudgetExceeded is the error of an evaluation that has asked the registry about as many
// candidates as it may. Another one with what was learned goes on from there.
var ErrBudgetExceeded = errors.New("there are more candidates to judge")

// Budget is about how many candidates the registry is asked for one evaluation.
const Budget = 16

// Images asks the registry about the images of one repository.
type Images interface {
	// Digest returns what a tag points at.
	Digest(ctx context.Context, tag string) (string, error)
	// PlatformsKnown returns the digest of the image at a tag or a digest, and what is wanted of it.
	Read(ctx context.Context, reference string, wants Wants) (ImageInfo, error)
	// Verify returns who signed the image at a digest, or else what is wrong with its
	// signatures. An error is neither.
	Verify(ctx context.Context, digest string) (signer, problem string, err error)
}

// Wants is what is to be read of an image.
type Wants struct {
	Platforms, Created bool
}

// Input is what an evaluation goes by. Evaluate does not change it.
type Input struct {
	// Gates are those of the policy.
	Gates Gates
	// Snapshot has when the tags were first seen.
	Snapshot scan.Snapshot
	// Learned are what is known of the images, by tag.
	Known map[string]ImageInfo
	// Current is the image that is selected.
	Current Current
	// RecheckPolicy is when rejected candidates are looked at again.
	RecheckPolicy RecheckPolicy
	// Budget is about how many candidates the registry is asked.
	Budget int
	// Now is the time of the evaluation.
	Now time.Time
}

// Result is what an evaluation comes to. After an error it has what was learned until then.
type Result struct {
	// Selected is the best candidate that passes, nil where none does.
	Selected *Selection
	// Evaluated are the candidates that were judged, best first.
	Evaluated []v1.CandidateStatus
	// Learned are those that are new, by tag.
	Learned map[string]ImageInfo
	// Rechecks are the looks at the candidates that were rejected now.
	Rechecks Rechecks
	// Current is the image that is held from now on, with the verdict on it.
	Current Current
	// CurrentChecked reports that the registry was asked what the tag of the held image points at.
	CurrentChecked bool
	// Next is when another evaluation may come to another result, zero for never.
	Next time.Time
}

// Merge returns the result of judging the candidates of r and, where none of those passes, of
// others that rank below them.
func (r Result) Merge(below Result) Result {
	facts, looks := maps.Clone(below.Learned), maps.Clone(below.Rechecks)
	maps.Copy(facts, r.Learned)
	maps.Copy(looks, r.Rechecks)
	r.Learned, r.Rechecks = facts, looks
	r.Evaluated = slices.Concat(r.Evaluated, below.Evaluated)
	r.CurrentChecked = r.CurrentChecked || below.CurrentChecked
	if r.Next.IsZero() || !below.Next.IsZero() && below.Next.Before(r.Next) {
		r.Next = below.Next
	}
	return r
}

// Selected is the best candidate that passed, with the digest that did.
type Selection struct{ Tag, Digest string }

// Evaluate judges the candidates of a ranking, best first, until one passes. It fails with the
// errors of images but ErrNotFound, and with ErrBudgetExceeded.
func Evaluate(ctx context.Context, images Images, in Input, ranking iter.Seq[selection.Choice]) (Result, error) {
	e := &evaluator{Input: in, images: images, result: Result{Learned: map[string]ImageInfo{}, Rechecks: Rechecks{}, Current: in.Current}}
	for choice := range ranking {
		pick, err := e.try(ctx, choice.Tag)
		if pick != nil || err != nil {
			e.result.Selected = pick
			return e.result, err
		}
	}
	return e.result, nil
}

// evaluator is a run of Evaluate.
type evaluator struct {
	Input
	images    Images
	result    Result
	requested int // about how many candidates
}

// try returns the candidate of a tag if it passes the gates, nil where it does not.
func (e *evaluator) try(ctx context.Context, tag string) (*Selection, error) {
	t := e.newEvaluation(tag)
	j, err := t.run(ctx)
	if err == nil && t.Current && Blocks(j.Verdict) {
		e.result.Current.Verdict = v1.CandidateRejected
		t = t.retry()
		j, err = t.run(ctx)
	}
	switch {
	case err != nil:
		return nil, err
	case !Blocks(j.Verdict):
		e.record(t, j)
		e.result.Current = Current{Tag: tag, Digest: t.Info.Digest, Verdict: j.Verdict, Message: j.Message}
		return &Selection{Tag: tag, Digest: t.Info.Digest}, nil
	case t.replacesCurrent():
		return e.retain(ctx, t, j)
	default:
		e.record(t, j)
		return nil, nil
	}
}

// retain returns the image that is held, if it still passes, although its tag was moved to one
// that does not.
func (e *evaluator) retain(ctx context.Context, moved *evaluation, why Decision) (*Selection, error) {
	t := e.newEvaluation(moved.Tag)
	t.useCurrent()
	j, err := t.run(ctx)
	if err != nil {
		return nil, err
	}
	e.record(moved, why)
	held := &e.result.Current
	if Blocks(j.Verdict) {
		held.Verdict = v1.CandidateRejected
		return nil, nil
	}
	held.Verdict, held.Message = v1.CandidatePassed, j.Message
	last := &e.result.Evaluated[len(e.result.Evaluated)-1]
	last.Verdict = v1.CandidateRetained
	last.Message += "; " + held.Digest + ", which passed before, stays selected"
	return &Selection{Tag: held.Tag, Digest: held.Digest}, nil
}

// record adds a candidate to those judged, with when it is to be judged again.
func (e *evaluator) record(t *evaluation, j Decision) {
	judged := v1.CandidateStatus{Tag: t.Tag, Digest: t.Info.Digest, Verdict: j.Verdict, Gate: j.Gate, Message: j.Message}
	switch j.Verdict {
	case v1.CandidatePending:
		judged.EligibleAt = new(metav1.NewTime(j.EligibleAt).Rfc3339Copy())
		e.limitNext(j.EligibleAt)
	case v1.CandidateRejected:
		e.limitNext(e.RecheckPolicy.next(e.recheck(t, j.Gate)))
	}
	e.result.Evaluated = append(e.result.Evaluated, judged)
}

// recheck notes a look at a rejected candidate. One that is rejected by what was known counts as
// looked at: after a start of the process the registry is not asked at once.
func (e *evaluator) recheck(t *evaluation, gate string) Recheck {
	look, seen := e.RecheckPolicy.Previous[t.Tag]
	looked := t.digestChecked && (gate != v1.GateVerify || t.verified)
	if !seen || looked || look.Digest != t.Info.Digest {
		look = look.next(t.Info.Digest, e.Now)
	}
	e.result.Rechecks[t.Tag] = look
	return look
}

// limitNext has the next evaluation be no later than a time.
func (e *evaluator) limitNext(until time.Time) {
	if e.result.Next.IsZero() || until.Before(e.result.Next) {
		e.result.Next = until
	}
}
