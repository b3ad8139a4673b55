// SPDX-License-Identifier: Apache-2.0

package imagepolicy

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
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// evaluations is what is remembered of the candidates of a policy.
type evaluationMemory struct {
	uid      types.UID
	rechecks admission.Rechecks
	// renewBefore is when a reconcile was requested, which renews all looks, zero where that is done.
	renewBefore time.Time
	// current is the image that is selected, with the verdict of the gates with this key.
	current  admission.Current
	gatesKey string
}

// gatedSelector looks for the best candidate that passes the gates of a policy.
type gatedSelector struct {
	*plainSelector
	worker *Worker
	images admission.Images
	input  admission.Input
	result admission.Result
}

// newGatedSelector begins a search among images. It takes the facts that are known from the store.
func (w *Worker) newGatedSelector(ctx context.Context, tags *plainSelector, remote *registryReader) (*gatedSelector, error) {
	policy, from := tags.policy, tags.source
	gates, err := admission.Compile(&policy.Spec)
	if err != nil {
		return nil, conditions.Stalled(v1.InvalidPolicyReason, err)
	}
	verifier, err := w.verifier(ctx, policy)
	if err != nil {
		return nil, err
	}
	if verifier != nil {
		gates.Rule = verifier.Fingerprint()
	}
	facts, err := w.Store.Facts(ctx, store.KeyOf(from.repo))
	if err != nil {
		return nil, err
	}
	known := w.previousEvaluation(policy)
	in := admission.Input{
		Gates:         gates,
		Snapshot:      from.snapshot,
		Known:         facts,
		Current:       admission.CurrentOf(policy, from.snapshot.Image),
		RecheckPolicy: admission.RecheckPolicy{Previous: known.rechecks, Interval: from.repo.GetRequeueAfter(), RenewBefore: known.renewBefore},
		Budget:        admission.Budget,
		Now:           time.Now(),
	}
	if known.renewBefore.IsZero() && scan.IsRequested(policy, policy.Status.LastHandledReconcileAt) {
		in.RecheckPolicy.RenewBefore = in.Now
	}
	in.Current.CheckDigest = in.Current.CheckDigest && w.digestDelay(policy) == 0 && !from.imageChanged()
	if in.Current.Digest != "" && in.Current.Digest == known.current.Digest && gatesKey(gates) == known.gatesKey {
		in.Current.Verdict, in.Current.Message = known.current.Verdict, known.current.Message
	}
	asked := remote.RegistryImages
	asked.Verifier = verifier
	return &gatedSelector{plainSelector: tags, worker: w, images: asked, input: in}, nil
}

// previousEvaluation returns what is remembered of the candidates of a policy.
func (w *Worker) previousEvaluation(policy *v1.ImagePolicy) evaluationMemory {
	known := w.evaluations.Get(client.ObjectKeyFromObject(policy))
	if known.uid != policy.UID { // of another object with this name
		return evaluationMemory{}
	}
	return known
}

// gatesKey differs for gates that judge the image that is selected differently.
func gatesKey(gates admission.Gates) string {
	return gates.Rule + " " + strings.Join(gates.Platforms, " ")
}

// selectBest returns the best candidate that passes, nil where none does. What was learned is kept,
// also where the search ends with an error.
func (g *gatedSelector) selectBest(ctx context.Context) (*selected, error) {
	considered, err := g.source.candidates(ctx, g.rule)
	if err != nil {
		return nil, err
	}
	g.result, err = admission.Evaluate(ctx, g.images, g.input, g.rule.Ranking(considered))
	return g.finish(ctx, err)
}

// selectTag returns the candidate of one tag if it passes. That tag ranks above all others.
func (g *gatedSelector) selectTag(ctx context.Context, tag string) (*selected, error) {
	above, err := admission.Evaluate(ctx, g.images, g.input, slices.Values([]selection.Choice{{Tag: tag}}))
	g.result = above.Merge(g.result)
	return g.finish(ctx, err)
}

// finish keeps what a search has learned. One that came to its bound goes on at once, behind
// others.
func (g *gatedSelector) finish(ctx context.Context, err error) (*selected, error) {
	if unsaved := g.worker.saveFacts(ctx, g.source, g.result.Learned); unsaved != nil {
		err = unsaved // not to go on at once: it would ask for the same again
	}
	g.store(err == nil)
	if errors.Is(err, admission.ErrBudgetExceeded) {
		return nil, conditions.Deferred(yieldDelay, err)
	}
	if err != nil {
		return nil, err
	}
	g.logRejected(ctx)
	g.policy.Status.Candidates = admission.Reported(g.result.Evaluated)
	pick := g.result.Selected
	if pick == nil {
		return nil, nil
	}
	return &selected{tag: pick.Tag, digest: pick.Digest, after: g.nextCheck()}, nil
}

// yieldDelay is how long work waits that could go on at once, but lets others go first.
const yieldDelay = time.Millisecond

// store notes the result for the next search, which goes on with this one where it did
// not end.
func (g *gatedSelector) store(ended bool) {
	now := evaluationMemory{uid: g.policy.UID, rechecks: g.result.Rechecks, current: g.result.Current, gatesKey: gatesKey(g.input.Gates)}
	if !ended {
		now.renewBefore, now.rechecks = g.input.RecheckPolicy.RenewBefore, admission.Rechecks{}
		maps.Copy(now.rechecks, g.input.RecheckPolicy.Previous)
		maps.Copy(now.rechecks, g.result.Rechecks)
	}
	g.worker.evaluations.Update(client.ObjectKeyFromObject(g.policy), func(evaluationMemory, bool) evaluationMemory { return now })
	if g.result.CurrentChecked {
		g.worker.digestDelays.clear(g.policy)
	}
}

// noneSelected says which candidates did not pass.
func (g *gatedSelector) noneSelected() error {
	if len(g.result.Evaluated) == 0 {
		return g.plainSelector.noneSelected()
	}
	best := g.result.Evaluated[0]
	return conditions.Waiting(v1.NoTagSelectedReason, g.nextCheck(), fmt.Errorf(
		"no tag selected: none of the %d tags of image '%s' that the policy accepts passes its gates: '%s', which ranks highest, %s",
		len(g.result.Evaluated), g.source.snapshot.Image, best.Tag, best.Message))
}

// nextCheck returns the time until another search may come to something else.
func (g *gatedSelector) nextCheck() time.Duration {
	var after time.Duration
	if !g.result.Next.IsZero() {
		after = max(time.Until(g.result.Next), time.Second)
	}
	if g.input.Gates.Rule != "" { // no watch sees that keys change
		after = earlier(after, g.source.repo.GetRequeueAfter())
	}
	return after
}

// candidates returns the tags that the rule lets through to be compared.
func (o tagSource) candidates(ctx context.Context, rule *selection.Rule) ([]string, error) {
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

// logRejected says why a candidate was left out, once.
func (g *gatedSelector) logRejected(ctx context.Context) {
	before := g.policy.Status.Candidates
	for _, c := range g.result.Evaluated {
		same := func(b v1.CandidateStatus) bool {
			return b.Tag == c.Tag && b.Digest == c.Digest && b.Verdict == c.Verdict
		}
		if c.Verdict != v1.CandidatePassed && !slices.ContainsFunc(before, same) {
			ctrl.LoggerFrom(ctx).Info("candidate does not pass", "tag", c.Tag, "digest", c.Digest, "gate", c.Gate, "problem", c.Message)
		}
	}
}
