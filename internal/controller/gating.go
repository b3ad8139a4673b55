// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/candidate"
	"github.com/fluxcd/image-reflector-controller/internal/gating"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/outcome"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

const (
	// walkBudget is about how many candidates a registry is asked in one
	// reconcile. Others get their turn before the next ones.
	walkBudget = 16
	// maxJudged is how many candidates a status tells of.
	maxJudged = 8
)

// judged is what is remembered of the candidates of a policy.
type judged struct {
	uid   types.UID
	looks gating.Looks
	// again is when somebody asked for all of them to be renewed, zero where that
	// is done.
	again time.Time
	// passed stands for the image and the gates that it passed last, with message, and
	// failed for one that is selected and did not pass.
	passed, message string
	failed          string
}

// gatedWalk looks for the best candidate that passes the gates of a policy.
type gatedWalk struct {
	*tagSearch
	*gating.Walk
	policies *ImagePolicies
}

// walk begins a search among images. It takes the facts that are known from the store.
func (w *ImagePolicies) walk(ctx context.Context, tags *tagSearch, remote *remoteTags) (*gatedWalk, error) {
	policy, from := tags.policy, tags.from
	gates, err := candidate.Compile(&policy.Spec)
	if err != nil {
		return nil, outcome.Stalled(v1.InvalidPolicyReason, err)
	}
	if remote.verifier, err = w.verifier(ctx, policy); err != nil {
		return nil, err
	}
	if remote.verifier != nil {
		gates.Rule = remote.verifier.Fingerprint()
	}
	facts, err := w.Facts.Facts(ctx, storeKey(from.repo))
	if err != nil {
		return nil, err
	}
	known := w.judged.get(client.ObjectKeyFromObject(policy))
	if known.uid != policy.UID {
		known = judged{}
	}
	walk := &gatedWalk{tagSearch: tags, policies: w, Walk: &gating.Walk{
		Gates:    gates,
		Asker:    remote,
		Snapshot: from.snapshot,
		Facts:    facts,
		Looks:    known.looks,
		Interval: from.repo.GetRequeueAfter(),
		Budget:   walkBudget,
		Now:      time.Now(),
	}}
	if walk.LookAgain = known.again; walk.LookAgain.IsZero() && scan.IsRequested(policy, policy.Status.LastHandledReconcileAt) {
		walk.LookAgain = walk.Now
	}
	walk.Held = w.held(policy, from)
	if key := walk.passKey(walk.Held.Digest); key != "" {
		walk.Held.Passed, walk.Held.Failed, walk.Held.Message = known.passed == key, known.failed == key, known.message
	}
	return walk, nil
}

// held returns the image that the policy has selected of this repository. Where
// the status may not tell its digest, the candidates do.
func (w *ImagePolicies) held(policy *v1.ImagePolicy, from origin) gating.Held {
	latest := policy.Status.LatestRef
	if latest == nil || latest.Name != from.snapshot.Image {
		return gating.Held{}
	}
	held := gating.Held{Tag: latest.Tag, Digest: latest.Digest}
	if i := slices.IndexFunc(policy.Status.Candidates, selectedBefore(latest.Tag)); held.Digest == "" && i >= 0 {
		held.Digest = policy.Status.Candidates[i].Digest
	}
	if !image.IsDigest(held.Digest) { // no image has one that something else wrote
		held.Digest = ""
	}
	always := policy.GetDigestReflectionPolicy() == v1.ReflectAlways
	held.Look = always && w.rest(policy) == 0 && !from.replaced()
	return held
}

func selectedBefore(tag string) func(v1.JudgedCandidate) bool {
	return func(c v1.JudgedCandidate) bool { return c.Tag == tag && c.Verdict == v1.CandidatePassed }
}

// passKey stands for a digest and the gates that it is judged by, "" for none.
func (g *gatedWalk) passKey(digest string) string {
	if digest == "" {
		return ""
	}
	key := digest + " " + g.Gates.Rule
	for _, platform := range g.Gates.Platforms {
		key += " " + platform
	}
	return key
}

// best returns the best candidate that passes, nil where none does. What was learned
// is kept, also where the search ends with an error.
func (g *gatedWalk) best(ctx context.Context) (*picked, error) {
	considered, err := g.from.considered(ctx, g.rule)
	if err != nil {
		return nil, err
	}
	pick, err := g.Best(ctx, g.rule.Ranking(considered))
	return g.end(ctx, pick, err)
}

// try returns the candidate of one tag if it passes. That tag ranks above all others.
func (g *gatedWalk) try(ctx context.Context, tag string) (*picked, error) {
	others := g.Judged
	g.Judged = nil
	pick, err := g.Try(ctx, tag)
	g.Judged = append(g.Judged, others...)
	return g.end(ctx, pick, err)
}

// end keeps what a search has learned. One that came to its bound goes on at once,
// behind others.
func (g *gatedWalk) end(ctx context.Context, pick *gating.Pick, err error) (*picked, error) {
	if unsaved := g.policies.save(ctx, g.from, g.Learned); unsaved != nil {
		err = unsaved // not to go on at once: it would ask for the same again
	}
	g.remember(pick, err == nil)
	if errors.Is(err, gating.ErrUnfinished) {
		return nil, outcome.Deferred(goOn, err)
	}
	if err != nil {
		return nil, err
	}
	g.log(ctx)
	g.policy.Status.Candidates = told(g.Judged)
	if pick == nil {
		return nil, nil
	}
	return &picked{tag: pick.Tag, digest: pick.Digest, after: g.after()}, nil
}

// goOn is how long work waits that could go on at once, but lets others go first.
const goOn = time.Millisecond

// remember notes what became of the candidates, for the next search, which goes on
// with this one where it did not end.
func (g *gatedWalk) remember(pick *gating.Pick, ended bool) {
	now := judged{uid: g.policy.UID, looks: g.Looked}
	if i := slices.IndexFunc(g.Judged, passedNow(pick)); i >= 0 {
		now.passed, now.message = g.passKey(pick.Digest), g.Judged[i].Message
	} else if g.Held.Passed {
		now.passed, now.message = g.passKey(g.Held.Digest), g.Held.Message
	} else if g.Held.Failed {
		now.failed = g.passKey(g.Held.Digest)
	}
	if !ended {
		now.again, now.looks = g.LookAgain, gating.Looks{}
		maps.Copy(now.looks, g.Looks)
		maps.Copy(now.looks, g.Looked)
	}
	g.policies.judged.update(client.ObjectKeyFromObject(g.policy), func(judged, bool) judged { return now })
	if g.Looking {
		g.policies.rests.end(g.policy)
	}
}

func passedNow(pick *gating.Pick) func(v1.JudgedCandidate) bool {
	return func(c v1.JudgedCandidate) bool {
		return pick != nil && c.Tag == pick.Tag && c.Verdict == v1.CandidatePassed
	}
}

// nothing says which candidates did not pass.
func (g *gatedWalk) nothing() error {
	if len(g.Judged) == 0 {
		return g.tagSearch.nothing()
	}
	best := g.Judged[0]
	return outcome.Waiting(v1.NoTagSelectedReason, g.after(), fmt.Errorf(
		"no tag selected: none of the %d tags of image '%s' that the policy accepts passes its gates: '%s', which ranks highest, %s",
		len(g.Judged), g.from.snapshot.Image, best.Tag, best.Message))
}

// after returns the time until another search may come to something else.
func (g *gatedWalk) after() time.Duration {
	var after time.Duration
	if !g.Next.IsZero() {
		after = max(time.Until(g.Next), time.Second)
	}
	if g.Gates.Rule != "" { // no watch tells when keys change
		after = sooner(after, g.from.repo.GetRequeueAfter())
	}
	return after
}

// told returns the candidates that a status tells of: the best ones, and the one
// that passed.
func told(all []v1.JudgedCandidate) []v1.JudgedCandidate {
	if len(all) <= maxJudged {
		return all
	}
	best := slices.Clone(all[:maxJudged])
	if i := slices.IndexFunc(all, v1.JudgedCandidate.IsSelected); i >= maxJudged {
		best[maxJudged-1] = all[i]
	}
	return best
}

// considered returns the tags that the rule lets through to be compared.
func (o origin) considered(ctx context.Context, rule *selection.Rule) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, o.repo.GetTimeout())
	defer cancel()
	var considered []string
	for some := range slices.Chunk(o.snapshot.Tags, selectStep) {
		if err := ctx.Err(); err != nil {
			return nil, o.unselected(err)
		}
		for _, tag := range some {
			if rule.Considers(tag) {
				considered = append(considered, tag)
			}
		}
	}
	return considered, nil
}

// log says why a candidate was left out, once.
func (g *gatedWalk) log(ctx context.Context) {
	before := g.policy.Status.Candidates
	for _, c := range g.Judged {
		same := func(b v1.JudgedCandidate) bool {
			return b.Tag == c.Tag && b.Digest == c.Digest && b.Verdict == c.Verdict
		}
		if c.Verdict != v1.CandidatePassed && !slices.ContainsFunc(before, same) {
			ctrl.LoggerFrom(ctx).Info("candidate does not pass", "tag", c.Tag, "digest", c.Digest, "gate", c.Gate, "problem", c.Message)
		}
	}
}
