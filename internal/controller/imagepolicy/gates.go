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
)

// cachedEvaluation is the cached result of the last evaluation of a policy's candidates.
type cachedEvaluation struct {
	uid      types.UID
	rechecks admission.Rechecks
	// renewBefore is the time at which a reconcile request was first seen: candidates whose last
	// check is older are rechecked. It is zero after all of them were.
	renewBefore time.Time
	// current is the current image, with the verdict of the gates that gatesKey identifies.
	current  admission.Current
	gatesKey string
}

// gatedSelector selects the best candidate that passes the gates of a policy.
type gatedSelector struct {
	*plainSelector
	worker *Worker
	images admission.Images
	known  *knownFacts
	input  admission.Input
	result admission.Result
}

// newGatedSelector returns a selector that starts from the stored facts and the last evaluation.
func (w *Worker) newGatedSelector(ctx context.Context, tags *plainSelector, remote *registryReader) (*gatedSelector, error) {
	policy, source := tags.policy, tags.source
	gates, err := admission.Compile(&policy.Spec)
	if err != nil {
		return nil, conditions.Stalled(v1.InvalidPolicyReason, err)
	}
	verifier, err := w.verifier(ctx, policy)
	if err != nil {
		return nil, err
	}
	if verifier != nil {
		gates.VerifierFingerprint, gates.VerifierDependsOnTime = verifier.Fingerprint(), verifier.DependsOnTime()
	}
	known := w.knownFacts(source)
	previous := w.previousEvaluation(policy)
	in := admission.Input{
		Gates:    gates,
		Snapshot: source.snapshot,
		Known:    known.of,
		Current:  admission.CurrentImageOf(policy, source.snapshot.Image),
		RecheckPolicy: admission.RecheckPolicy{
			Previous: previous.rechecks, Interval: source.repo.GetRequeueAfter(), RenewBefore: previous.renewBefore,
		},
		Budget: admission.Budget,
		Now:    time.Now(),
	}
	if previous.renewBefore.IsZero() && scan.IsRequested(policy, policy.Status.LastHandledReconcileAt) {
		in.RecheckPolicy.RenewBefore = in.Now
	}
	in.Current.CheckDigest = in.Current.CheckDigest && w.digestDelay(policy) == 0 && !source.imageChanged()
	if in.Current.Digest != "" && in.Current.Digest == previous.current.Digest && gatesKey(gates) == previous.gatesKey {
		in.Current.Verdict, in.Current.Message = previous.current.Verdict, previous.current.Message
	}
	images := remote.RegistryImages
	images.Verifier = verifier
	return &gatedSelector{plainSelector: tags, worker: w, images: images, known: known, input: in}, nil
}

// previousEvaluation returns the cached result of the last evaluation of the policy's candidates.
func (w *Worker) previousEvaluation(policy *v1.ImagePolicy) cachedEvaluation {
	cached := w.evaluations.Get(client.ObjectKeyFromObject(policy))
	if cached.uid != policy.UID { // of a deleted object with the same name
		return cachedEvaluation{}
	}
	return cached
}

// gatesKey identifies the gates that apply to the current image: signatures and platforms, but not
// its age.
func gatesKey(gates admission.Gates) string {
	return gates.VerifierFingerprint + " " + strings.Join(gates.Platforms, " ")
}

// selectBest returns the best candidate that passes, or nil. New facts are stored even if the
// evaluation fails.
func (g *gatedSelector) selectBest(ctx context.Context) (*selected, error) {
	candidates, err := g.source.matchingTags(ctx, g.rule)
	if err != nil {
		return nil, err
	}
	g.result, err = admission.Evaluate(ctx, g.images, g.input, g.rule.OfMatching().Ranking(candidates))
	return g.finish(ctx, err)
}

// selectTag returns the best candidate that passes, or nil, if a tag that is not listed is added to
// the listed ones. It ranks above the selected one, but not above all that were rejected.
func (g *gatedSelector) selectTag(ctx context.Context, tag string) (*selected, error) {
	unlisted, err := admission.Evaluate(ctx, g.images, g.input, slices.Values([]selection.Choice{{Tag: tag}}))
	g.result = g.result.Insert(unlisted, func(listed string) bool { return g.rule.Compare(listed, tag) > 0 })
	return g.finish(ctx, err)
}

// finish stores the facts, caches the result of an evaluation, and writes it to status.candidates.
// If the budget was exhausted, the evaluation continues after other objects in the queue.
func (g *gatedSelector) finish(ctx context.Context, err error) (*selected, error) {
	if saveErr := g.worker.saveFacts(ctx, g.source, g.result.Fetched); saveErr != nil {
		err = saveErr // without stored facts, an immediate retry would send the same requests again
	}
	g.cache(err == nil)
	if errors.Is(err, admission.ErrBudgetExhausted) {
		return nil, conditions.Deferred(yieldDelay, err)
	}
	if err != nil {
		return nil, err
	}
	g.logRejected(ctx)
	g.policy.Status.Candidates = admission.Reported(g.result.Evaluated)
	best := g.result.Selected
	if best == nil {
		return nil, nil
	}
	return &selected{tag: best.Tag, digest: best.Digest, info: g.infoOf(*best), after: g.nextCheck()}, nil
}

// infoOf returns what is known about the selected image. Facts about another digest do not count.
func (g *gatedSelector) infoOf(best admission.Selection) admission.ImageInfo {
	info, found := g.result.Fetched[best.Tag]
	if !found {
		info = g.known.facts[best.Tag]
	}
	if info.Digest != best.Digest {
		return admission.ImageInfo{}
	}
	return info
}

// yieldDelay is the delay of work that is only requeued to process other objects first.
const yieldDelay = time.Millisecond

// cache caches the result for the next evaluation, which continues this one if it is not complete.
func (g *gatedSelector) cache(complete bool) {
	cached := cachedEvaluation{uid: g.policy.UID, rechecks: g.result.Rechecks, current: g.result.Current, gatesKey: gatesKey(g.input.Gates)}
	if !complete {
		cached.renewBefore, cached.rechecks = g.input.RecheckPolicy.RenewBefore, admission.Rechecks{}
		maps.Copy(cached.rechecks, g.input.RecheckPolicy.Previous)
		maps.Copy(cached.rechecks, g.result.Rechecks)
	}
	g.worker.evaluations.Update(client.ObjectKeyFromObject(g.policy), func(cachedEvaluation, bool) cachedEvaluation { return cached })
	if g.result.CurrentChecked {
		g.worker.digestDelays.clear(g.policy)
	}
}

// noneSelected returns the error about the candidates that do not pass.
func (g *gatedSelector) noneSelected() error {
	if len(g.result.Evaluated) == 0 {
		return g.plainSelector.noneSelected()
	}
	best := g.result.Evaluated[0]
	return conditions.Waiting(v1.NoTagSelectedReason, g.nextCheck(), fmt.Errorf(
		"no tag selected: none of the %d tags of image '%s' that the policy accepts passes its gates: '%s', which ranks highest, %s",
		len(g.result.Evaluated), g.source.snapshot.Image, best.Tag, best.Message))
}

// nextCheck returns the time until the result may change without an event of a watch, 0 for never.
func (g *gatedSelector) nextCheck() time.Duration {
	var after time.Duration
	if !g.result.Next.IsZero() {
		after = max(time.Until(g.result.Next), time.Second)
	}
	if g.input.Gates.VerifierFingerprint != "" { // keys are not watched
		after = earlier(after, g.source.repo.GetRequeueAfter())
	}
	return after
}

// logRejected logs each candidate that does not pass, unless the status shows that already.
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
