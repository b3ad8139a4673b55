// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/outcome"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// judged is what is remembered of the candidates of a policy.
type judged struct {
	uid   types.UID
	looks admission.Looks
	// again is when a reconcile was requested, which renews all looks, zero where that is done.
	again time.Time
	// held is the image that is selected, with the verdict of the gates with this key.
	held  admission.Held
	gates string
}

// gatedSearch looks for the best candidate that passes the gates of a policy.
type gatedSearch struct {
	*tagSearch
	policies *ImagePolicies
	images   admission.Images
	in       admission.Input
	result   admission.Result
}

// gated begins a search among images. It takes the facts that are known from the store.
func (w *ImagePolicies) gated(ctx context.Context, tags *tagSearch, remote *remoteTags) (*gatedSearch, error) {
	policy, from := tags.policy, tags.from
	gates, err := admission.Compile(&policy.Spec)
	if err != nil {
		return nil, outcome.Stalled(v1.InvalidPolicyReason, err)
	}
	verifier, err := w.verifier(ctx, policy)
	if err != nil {
		return nil, err
	}
	if verifier != nil {
		gates.Rule = verifier.Fingerprint()
	}
	facts, err := w.Store.Facts(ctx, storeKey(from.repo))
	if err != nil {
		return nil, err
	}
	known := w.remembered(policy)
	in := admission.Input{
		Gates:    gates,
		Snapshot: from.snapshot,
		Facts:    facts,
		Held:     admission.HeldBy(policy, from.snapshot.Image),
		Recheck:  admission.Recheck{Looks: known.looks, Interval: from.repo.GetRequeueAfter(), Before: known.again},
		Budget:   admission.Budget,
		Now:      time.Now(),
	}
	if known.again.IsZero() && scan.IsRequested(policy, policy.Status.LastHandledReconcileAt) {
		in.Recheck.Before = in.Now
	}
	in.Held.Look = in.Held.Look && w.rest(policy) == 0 && !from.replaced()
	if in.Held.Digest != "" && in.Held.Digest == known.held.Digest && gatesKey(gates) == known.gates {
		in.Held.Verdict, in.Held.Message = known.held.Verdict, known.held.Message
	}
	asked := remote.Remote
	asked.Verifier = verifier
	return &gatedSearch{tagSearch: tags, policies: w, images: asked, in: in}, nil
}

// remembered returns what is remembered of the candidates of a policy.
func (w *ImagePolicies) remembered(policy *v1.ImagePolicy) judged {
	known := w.judged.get(client.ObjectKeyFromObject(policy))
	if known.uid != policy.UID { // of another object with this name
		return judged{}
	}
	return known
}

// gatesKey differs for gates that judge the image that is selected differently.
func gatesKey(gates admission.Gates) string {
	return gates.Rule + " " + strings.Join(gates.Platforms, " ")
}

// best returns the best candidate that passes, nil where none does. What was learned is kept,
// also where the search ends with an error.
func (g *gatedSearch) best(ctx context.Context) (*picked, error) {
	considered, err := g.from.considered(ctx, g.rule)
	if err != nil {
		return nil, err
	}
	g.result, err = admission.Evaluate(ctx, g.images, g.in, g.rule.Ranking(considered))
	return g.end(ctx, err)
}

// try returns the candidate of one tag if it passes. That tag ranks above all others.
func (g *gatedSearch) try(ctx context.Context, tag string) (*picked, error) {
	above, err := admission.Evaluate(ctx, g.images, g.in, slices.Values([]selection.Choice{{Tag: tag}}))
	g.result = above.Above(g.result)
	return g.end(ctx, err)
}

// end keeps what a search has learned. One that came to its bound goes on at once, behind
// others.
func (g *gatedSearch) end(ctx context.Context, err error) (*picked, error) {
	if unsaved := g.policies.save(ctx, g.from, g.result.Facts); unsaved != nil {
		err = unsaved // not to go on at once: it would ask for the same again
	}
	g.remember(err == nil)
	if errors.Is(err, admission.ErrUnfinished) {
		return nil, outcome.Deferred(goOn, err)
	}
	if err != nil {
		return nil, err
	}
	g.log(ctx)
	g.policy.Status.Candidates = admission.Reported(g.result.Judged)
	pick := g.result.Pick
	if pick == nil {
		return nil, nil
	}
	return &picked{tag: pick.Tag, digest: pick.Digest, after: g.after()}, nil
}

// goOn is how long work waits that could go on at once, but lets others go first.
const goOn = time.Millisecond

// remember notes the result for the next search, which goes on with this one where it did
// not end.
func (g *gatedSearch) remember(ended bool) {
	now := judged{uid: g.policy.UID, looks: g.result.Looks, held: g.result.Held, gates: gatesKey(g.in.Gates)}
	if !ended {
		now.again, now.looks = g.in.Recheck.Before, admission.Looks{}
		maps.Copy(now.looks, g.in.Recheck.Looks)
		maps.Copy(now.looks, g.result.Looks)
	}
	g.policies.judged.update(client.ObjectKeyFromObject(g.policy), func(judged, bool) judged { return now })
	if g.result.Looked {
		g.policies.rests.end(g.policy)
	}
}

// nothing says which candidates did not pass.
func (g *gatedSearch) nothing() error {
	if len(g.result.Judged) == 0 {
		return g.tagSearch.nothing()
	}
	best := g.result.Judged[0]
	return outcome.Waiting(v1.NoTagSelectedReason, g.after(), fmt.Errorf(
		"no tag selected: none of the %d tags of image '%s' that the policy accepts passes its gates: '%s', which ranks highest, %s",
		len(g.result.Judged), g.from.snapshot.Image, best.Tag, best.Message))
}

// after returns the time until another search may come to something else.
func (g *gatedSearch) after() time.Duration {
	var after time.Duration
	if !g.result.Next.IsZero() {
		after = max(time.Until(g.result.Next), time.Second)
	}
	if g.in.Gates.Rule != "" { // no watch sees that keys change
		after = sooner(after, g.from.repo.GetRequeueAfter())
	}
	return after
}

// considered returns the tags that the rule lets through to be compared.
func (o origin) considered(ctx context.Context, rule *selection.Rule) ([]string, error) {
	var considered []string
	err := o.inSteps(ctx, func(some []string) {
		for _, tag := range some {
			if rule.Considers(tag) {
				considered = append(considered, tag)
			}
		}
	})
	return considered, err
}

// log says why a candidate was left out, once.
func (g *gatedSearch) log(ctx context.Context) {
	before := g.policy.Status.Candidates
	for _, c := range g.result.Judged {
		same := func(b v1.JudgedCandidate) bool {
			return b.Tag == c.Tag && b.Digest == c.Digest && b.Verdict == c.Verdict
		}
		if c.Verdict != v1.CandidatePassed && !slices.ContainsFunc(before, same) {
			ctrl.LoggerFrom(ctx).Info("candidate does not pass", "tag", c.Tag, "digest", c.Digest, "gate", c.Gate, "problem", c.Message)
		}
	}
}
