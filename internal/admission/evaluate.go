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

// ErrGone is the error of Images where the registry answers that it has no image for a tag or a
// digest.
var ErrGone = errors.New("the registry has no such image")

// ErrUnfinished is the error of an evaluation that has asked the registry about as many
// candidates as it may. Another one with what was learned goes on from there.
var ErrUnfinished = errors.New("there are more candidates to judge")

// Budget is about how many candidates the registry is asked for one evaluation.
const Budget = 16

// Images asks the registry about the images of one repository.
type Images interface {
	// Digest returns what a tag points at.
	Digest(ctx context.Context, tag string) (string, error)
	// Read returns the digest of the image at a tag or a digest, and what is wanted of it.
	Read(ctx context.Context, reference string, wants Wants) (Fact, error)
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
	// Facts are what is known of the images, by tag.
	Facts map[string]Fact
	// Held is the image that is selected.
	Held Held
	// Recheck is when rejected candidates are looked at again.
	Recheck Recheck
	// Budget is about how many candidates the registry is asked.
	Budget int
	// Now is the time of the evaluation.
	Now time.Time
}

// Result is what an evaluation comes to. After an error it has what was learned until then.
type Result struct {
	// Pick is the best candidate that passes, nil where none does.
	Pick *Pick
	// Judged are the candidates that were judged, best first.
	Judged []v1.JudgedCandidate
	// Facts are those that are new, by tag.
	Facts map[string]Fact
	// Looks are the looks at the candidates that were rejected now.
	Looks Looks
	// Held is the image that is held from now on, with the verdict on it.
	Held Held
	// Looked reports that the registry was asked what the tag of the held image points at.
	Looked bool
	// Next is when another evaluation may come to another result, zero for never.
	Next time.Time
}

// Above returns the result of judging the candidates of r and, where none of those passes, of
// others that rank below them.
func (r Result) Above(below Result) Result {
	facts, looks := maps.Clone(below.Facts), maps.Clone(below.Looks)
	maps.Copy(facts, r.Facts)
	maps.Copy(looks, r.Looks)
	r.Facts, r.Looks = facts, looks
	r.Judged = slices.Concat(r.Judged, below.Judged)
	r.Looked = r.Looked || below.Looked
	if r.Next.IsZero() || !below.Next.IsZero() && below.Next.Before(r.Next) {
		r.Next = below.Next
	}
	return r
}

// Pick is the best candidate that passed, with the digest that did.
type Pick struct{ Tag, Digest string }

// Evaluate judges the candidates of a ranking, best first, until one passes. It fails with the
// errors of images but ErrGone, and with ErrUnfinished.
func Evaluate(ctx context.Context, images Images, in Input, ranking iter.Seq[selection.Choice]) (Result, error) {
	e := &evaluation{Input: in, images: images, result: Result{Facts: map[string]Fact{}, Looks: Looks{}, Held: in.Held}}
	for choice := range ranking {
		pick, err := e.try(ctx, choice.Tag)
		if pick != nil || err != nil {
			e.result.Pick = pick
			return e.result, err
		}
	}
	return e.result, nil
}

// evaluation is a run of Evaluate.
type evaluation struct {
	Input
	images Images
	result Result
	asked  int // about how many candidates
}

// try returns the candidate of a tag if it passes the gates, nil where it does not.
func (e *evaluation) try(ctx context.Context, tag string) (*Pick, error) {
	t := e.trial(tag)
	j, err := t.judge(ctx)
	if err == nil && t.Held && Stops(j.Verdict) {
		e.result.Held.Verdict = v1.CandidateRejected
		t = t.anew()
		j, err = t.judge(ctx)
	}
	switch {
	case err != nil:
		return nil, err
	case !Stops(j.Verdict):
		e.note(t, j)
		e.result.Held = Held{Tag: tag, Digest: t.Fact.Digest, Verdict: j.Verdict, Message: j.Message}
		return &Pick{Tag: tag, Digest: t.Fact.Digest}, nil
	case t.isMoved():
		return e.keep(ctx, t, j)
	default:
		e.note(t, j)
		return nil, nil
	}
}

// keep returns the image that is held, if it still passes, although its tag was moved to one
// that does not.
func (e *evaluation) keep(ctx context.Context, moved *trial, why Judgement) (*Pick, error) {
	t := e.trial(moved.Tag)
	t.hold()
	j, err := t.judge(ctx)
	if err != nil {
		return nil, err
	}
	e.note(moved, why)
	held := &e.result.Held
	if Stops(j.Verdict) {
		held.Verdict = v1.CandidateRejected
		return nil, nil
	}
	held.Verdict, held.Message = v1.CandidatePassed, j.Message
	last := &e.result.Judged[len(e.result.Judged)-1]
	last.Verdict = v1.CandidateKept
	last.Message += "; " + held.Digest + ", which passed before, stays selected"
	return &Pick{Tag: held.Tag, Digest: held.Digest}, nil
}

// note adds a candidate to those judged, with when it is to be judged again.
func (e *evaluation) note(t *trial, j Judgement) {
	judged := v1.JudgedCandidate{Tag: t.Tag, Digest: t.Fact.Digest, Verdict: j.Verdict, Gate: j.Gate, Message: j.Message}
	switch j.Verdict {
	case v1.CandidateRipening:
		judged.EligibleAt = new(metav1.NewTime(j.Ripe).Rfc3339Copy())
		e.wait(j.Ripe)
	case v1.CandidateRejected:
		e.wait(e.Recheck.next(e.look(t, j.Gate)))
	}
	e.result.Judged = append(e.result.Judged, judged)
}

// look notes a look at a rejected candidate. One that is rejected by what was known counts as
// looked at: after a start of the process the registry is not asked at once.
func (e *evaluation) look(t *trial, gate string) Look {
	look, seen := e.Recheck.Looks[t.Tag]
	looked := t.fresh && (gate != v1.GateVerify || t.verified)
	if !seen || looked || look.Digest != t.Fact.Digest {
		look = look.again(t.Fact.Digest, e.Now)
	}
	e.result.Looks[t.Tag] = look
	return look
}

// wait has the next evaluation be no later than a time.
func (e *evaluation) wait(until time.Time) {
	if e.result.Next.IsZero() || until.Before(e.result.Next) {
		e.result.Next = until
	}
}
