// SPDX-License-Identifier: Apache-2.0

// Package judging runs the gates of a policy for an explanation, as the controller
// does: by internal/gating, in the order of the ranking, until a candidate passes.
package judging

import (
	"context"
	"errors"
	"iter"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/candidate"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/gating"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// Budget is how many candidates are judged at most.
const Budget = 16

// Judge judges the candidates of a case.
type Judge struct {
	Case  *explain.Case
	Asker gating.Asker
	// Rule stands for the rule by which images must be signed, empty where there is
	// none, or where signatures can't be checked here, because of Unverifiable.
	Rule         string
	Unverifiable string
	Now          time.Time

	walk   *gating.Walk
	spec   candidate.Gates
	trials explain.Trials
}

// Run judges the candidates of a ranking until one is not stopped, and another
// one, if it is among them. An error is that of the registry.
func (j *Judge) Run(ctx context.Context, ranking iter.Seq[selection.Choice], also string) (*explain.Trials, error) {
	if err := j.begin(); err != nil {
		return nil, err
	}
	judged, ended, ranks := 0, false, false
	for choice := range ranking {
		ranks = ranks || choice.Tag == also
		if ended || judged == Budget {
			if ranks || also == "" {
				break
			}
			continue
		}
		verdict, err := j.judge(ctx, choice.Tag)
		if err != nil {
			return nil, err
		}
		judged++
		ended = !explain.Stops(verdict.Verdict)
		j.trials.Judged = append(j.trials.Judged, verdict)
		j.trials.Complete = ended
	}
	if judged < Budget {
		j.trials.Complete = true
	}
	return &j.trials, j.judgeAlso(ctx, ranks, also)
}

// judgeAlso judges a candidate behind the one that is selected.
func (j *Judge) judgeAlso(ctx context.Context, ranks bool, tag string) error {
	for _, judged := range j.trials.Judged {
		ranks = ranks && judged.Tag != tag
	}
	if !ranks {
		return nil
	}
	verdict, err := j.judge(ctx, tag)
	j.trials.Judged = append(j.trials.Judged, verdict)
	return err
}

// begin prepares the walk. The age is none of its gates: since when that counts is
// known to the controller only.
func (j *Judge) begin() error {
	gates, err := candidate.Compile(&j.Case.Policy.Spec)
	if err != nil {
		return err
	}
	j.spec = gates
	gates.MinimumAge, gates.Rule = 0, j.Rule
	j.trials = explain.Trials{By: explain.ByExplain}
	j.walk = &gating.Walk{Gates: gates, Asker: j.Asker, Held: j.held(), Budget: Budget + 1, Now: j.Now}
	return nil
}

// held is the image that the status names.
func (j *Judge) held() gating.Held {
	ref := j.Case.Policy.Status.LatestRef
	if !j.Case.Live() || ref == nil || ref.Name != j.Case.Repository.Spec.Image {
		return gating.Held{}
	}
	held := gating.Held{Tag: ref.Tag, Digest: ref.Digest, Look: j.Case.Policy.GetDigestReflectionPolicy() == v1.ReflectAlways}
	if seen, known := j.observed(ref.Tag); held.Digest == "" && known && seen.Verdict == v1.CandidatePassed {
		held.Digest = seen.Digest
	}
	return held
}

// observed returns what the controller said of a tag.
func (j *Judge) observed(tag string) (v1.JudgedCandidate, bool) {
	for _, c := range j.Case.Observed().Judged {
		if c.Tag == tag {
			return c, true
		}
	}
	return v1.JudgedCandidate{}, false
}

// judge judges one candidate.
func (j *Judge) judge(ctx context.Context, tag string) (v1.JudgedCandidate, error) {
	if seen, known := j.observed(tag); known && j.ripening(seen) {
		digest, err := j.Asker.Digest(ctx, tag)
		if err == nil && digest == seen.Digest {
			return seen, nil
		}
		if err != nil && !errors.Is(err, gating.ErrGone) {
			return seen, err
		}
	}
	before := len(j.walk.Judged)
	if _, err := j.walk.Try(ctx, tag); err != nil {
		return v1.JudgedCandidate{}, err
	}
	verdict := j.walk.Judged[before]
	if verdict.Verdict == v1.CandidatePassed {
		j.doubt(&verdict)
	}
	return verdict, nil
}

// ripening reports whether the controller said that an image is too young, and it
// still is.
func (j *Judge) ripening(seen v1.JudgedCandidate) bool {
	tooYoung := seen.Verdict == v1.CandidateRipening || seen.Verdict == v1.CandidateKept
	return tooYoung && seen.EligibleAt != nil && seen.EligibleAt.After(j.Now)
}

// doubt says of an image that passed what could not be judged here.
func (j *Judge) doubt(passed *v1.JudgedCandidate) {
	switch {
	case j.Unverifiable != "":
		passed.Verdict, passed.Gate, passed.Message = explain.Unknown, v1.GateVerify, j.Unverifiable
	case j.spec.MinimumAge > 0 && !j.oldEnough(*passed):
		passed.Verdict, passed.Gate = explain.Unknown, v1.GateMinimumAge
		passed.Message = "passes the other gates, but since when its age counts is known to the controller only, which has not told yet"
	}
}

// oldEnough reports whether the controller found an image old enough, or has come to
// that by now.
func (j *Judge) oldEnough(passed v1.JudgedCandidate) bool {
	if held := j.walk.Held; passed.Tag == held.Tag && (held.Digest == "" || passed.Digest == held.Digest) {
		return true // what is selected is not given up for its age
	}
	seen, known := j.observed(passed.Tag)
	if !known || seen.Digest != passed.Digest {
		return false
	}
	return seen.EligibleAt == nil && seen.Gate != v1.GateDigest || seen.EligibleAt != nil && !seen.EligibleAt.After(j.Now)
}
