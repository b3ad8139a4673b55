// SPDX-License-Identifier: Apache-2.0

package gating

import (
	"context"
	"errors"
	"iter"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/candidate"
	"github.com/fluxcd/image-reflector-controller/internal/inspect"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// ErrGone is what an Asker returns where the registry has no image for a tag or a
// digest, and says so.
var ErrGone = errors.New("the registry has no such image")

// ErrUnfinished says that the registry was asked about as many candidates as one
// walk may. What was learned is kept: another walk goes on from there.
var ErrUnfinished = errors.New("there are more candidates to judge")

// Asker asks the registry of one image repository.
type Asker interface {
	// Digest returns what a tag points at.
	Digest(ctx context.Context, tag string) (string, error)
	// Image returns what is wanted of the image at a tag or a digest.
	Image(ctx context.Context, reference string, wants inspect.Wants) (inspect.Image, error)
	// Verify says who signed the image at a digest, or else what is wrong with its
	// signatures. An error is neither.
	Verify(ctx context.Context, digest string) (string, string, error)
}

// Held is the image that a policy has selected by now. Its Digest is empty where the
// tag was selected before there were gates, and nobody asked for the digest.
type Held struct {
	Tag, Digest string
	// Look says that it is time to look whether the tag still points at it.
	Look bool
	// Passed says that it passed these gates before, with Message, and Failed that it
	// did not. Then its tag is a candidate like any other.
	Passed, Failed bool
	Message        string
}

// Walk is one walk down a ranking.
type Walk struct {
	Gates    candidate.Gates
	Asker    Asker
	Snapshot scan.Snapshot
	// Facts is what is known of the tags. It is not changed.
	Facts map[string]candidate.Fact
	Held  Held
	Looks Looks
	// Interval is the least time between two looks at a rejected candidate. Looks
	// from before LookAgain are renewed whatever their time.
	Interval  time.Duration
	LookAgain time.Time
	// Budget is about how many candidates the registry is asked.
	Budget int
	Now    time.Time

	// Learned are the facts that are new.
	Learned map[string]candidate.Fact
	// Looked are the looks at the candidates that were rejected now.
	Looked Looks
	// Judged are the candidates that were judged, best first.
	Judged []v1.JudgedCandidate
	// Looking says that the registry was asked what Held's tag points at.
	Looking bool
	// Next is when another walk may come to something else, zero for never.
	Next time.Time

	asked int
}

// Pick is the best candidate that passed, with the digest that did.
type Pick struct{ Tag, Digest string }

// Best returns the best candidate that passes the gates, nil where none does.
func (w *Walk) Best(ctx context.Context, ranking iter.Seq[selection.Choice]) (*Pick, error) {
	for choice := range ranking {
		pick, err := w.Try(ctx, choice.Tag)
		if pick != nil || err != nil {
			return pick, err
		}
	}
	return nil, nil
}

// Try returns the candidate if it passes the gates, and nil where it does not.
func (w *Walk) Try(ctx context.Context, tag string) (*Pick, error) {
	t := w.trial(tag)
	j, err := t.judge(ctx)
	if err == nil && t.Held && j.Verdict != v1.CandidatePassed {
		w.Held.Failed = true
		t = t.anew()
		j, err = t.judge(ctx)
	}
	if err != nil {
		return nil, err
	}
	if j.Verdict == v1.CandidatePassed {
		w.note(t, j)
		return &Pick{Tag: tag, Digest: t.Fact.Digest}, nil
	}
	moved := t.Fact.Digest != "" && t.Fact.Digest != w.Held.Digest // and not gone
	if tag == w.Held.Tag && w.Held.Digest != "" && !w.Held.Failed && moved {
		return w.keep(ctx, t, j)
	}
	w.note(t, j)
	return nil, nil
}

// keep returns the image that is held, if it still passes, although its tag
// was moved to one that does not.
func (w *Walk) keep(ctx context.Context, moved *trial, why candidate.Judgement) (*Pick, error) {
	held := w.trial(moved.Tag)
	held.hold()
	j, err := held.judge(ctx)
	if err != nil {
		return nil, err
	}
	w.note(moved, why)
	if j.Verdict != v1.CandidatePassed {
		w.Held.Failed = true
		return nil, nil
	}
	w.Held.Passed, w.Held.Message = true, j.Message
	last := &w.Judged[len(w.Judged)-1]
	last.Verdict = v1.CandidateKept
	last.Message += "; " + w.Held.Digest + ", which passed before, stays selected"
	return &Pick{Tag: held.Tag, Digest: w.Held.Digest}, nil
}

// note notes what became of a candidate, and when it is to be judged again.
func (w *Walk) note(t *trial, j candidate.Judgement) {
	judged := v1.JudgedCandidate{Tag: t.Tag, Digest: t.Fact.Digest, Verdict: j.Verdict, Gate: j.Gate, Message: j.Message}
	switch j.Verdict {
	case v1.CandidateRipening:
		judged.EligibleAt = stamp(j.Ripe)
		w.wait(j.Ripe)
	case v1.CandidateRejected:
		w.wait(w.look(t, j.Gate).next(w.Interval))
	}
	w.Judged = append(w.Judged, judged)
}

// look notes a look at a rejected candidate. One that is rejected by what was known
// counts as looked at: after a start of the process nothing is asked at once.
func (w *Walk) look(t *trial, gate string) Look {
	look, seen := w.Looks[t.Tag]
	looked := t.fresh && (gate != v1.GateVerify || t.verified)
	if !seen || looked || look.Digest != t.Fact.Digest {
		look = look.again(t.Fact.Digest, w.Now)
	}
	if w.Looked == nil {
		w.Looked = Looks{}
	}
	w.Looked[t.Tag] = look
	return look
}

// wait has Next be no later than a time.
func (w *Walk) wait(until time.Time) {
	if w.Next.IsZero() || until.Before(w.Next) {
		w.Next = until
	}
}

// learn notes a fact about a tag.
func (w *Walk) learn(tag string, fact candidate.Fact) {
	if w.Learned == nil {
		w.Learned = map[string]candidate.Fact{}
	}
	w.Learned[tag] = fact
}

// known returns what is known of a tag.
func (w *Walk) known(tag string) candidate.Fact {
	if fact, learned := w.Learned[tag]; learned {
		return fact
	}
	return w.Facts[tag]
}
