// SPDX-License-Identifier: Apache-2.0

// Package imagepolicy holds the worker of ImagePolicies: it loads the stored tags, evaluates the
// gates, selects the latest image and reflects its digest.
package imagepolicy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/repository"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// Worker is the reconcile.Worker of ImagePolicies: it selects the latest image.
type Worker struct {
	// Reader reads ImageRepositories.
	Reader client.Reader
	// Access checks which ImageRepositories a policy may use.
	Access Access
	// Shard locates ImageRepositories that are not in the cache of Reader.
	Shard Shard
	// Auth returns the credentials and transport settings of a registry.
	Auth registry.AuthOptionsGetter
	// Open opens an image repository.
	Open OpenRepository
	// Store stores the tags to select from, and facts about their images.
	Store TagStore
	// Verifiers makes the verifiers of image signatures.
	Verifiers VerifierFactory
	// Wake enqueues an object that waits for a ticket of a rate limiter.
	Wake func(name types.NamespacedName)
	// RequeueDependency is the interval at which a dependency that is not ready is checked again.
	RequeueDependency time.Duration
	// JitterPercent is the jitter of intervals, so that objects that were created together are not
	// always reconciled together.
	JitterPercent uint8

	digestDelays digestDelays
	missing      missingSince
	evaluations  reconcile.PerObject[cachedEvaluation]
}

// TagStore is the part of store.Store that Worker uses.
type TagStore interface {
	Get(ctx context.Context, key store.Key) (scan.Snapshot, error)
	Info(ctx context.Context, key store.Key) (store.Info, error)
	Facts(ctx context.Context, key store.Key) (map[string]admission.ImageInfo, error)
	FactsOf(ctx context.Context, key store.Key, tags ...string) (map[string]admission.ImageInfo, bool, error)
	PutFacts(ctx context.Context, key store.Key, facts map[string]admission.ImageInfo) error
}

var _ reconcile.Worker[*v1.ImagePolicy] = &Worker{}

// New returns an empty ImagePolicy.
func (w *Worker) New() *v1.ImagePolicy { return &v1.ImagePolicy{} }

// Suspended reports whether the policy is suspended.
func (w *Worker) Suspended(policy *v1.ImagePolicy) bool { return policy.Spec.Suspend }

// Forget removes the cached data of a deleted policy.
func (w *Worker) Forget(_ context.Context, name types.NamespacedName) error {
	w.digestDelays.Forget(name)
	w.missing.Forget(name)
	w.evaluations.Forget(name)
	if w.Verifiers != nil {
		w.Verifiers.Forget(name)
	}
	return nil
}

// Work selects the latest image and writes it to the status.
func (w *Worker) Work(ctx context.Context, policy *v1.ImagePolicy, progress reconcile.ProgressFunc) (conditions.Result, error) {
	migrateRefs(ctrl.LoggerFrom(ctx), &policy.Status)
	rule, err := selection.Compile(&policy.Spec)
	if err != nil {
		return conditions.Result{}, conditions.Stalled(v1.InvalidPolicyReason, err)
	}
	source, err := w.load(ctx, policy)
	if err != nil {
		return unchangedResult(policy, err), err
	}
	remote := w.newRegistryReader(policy, source, progress)
	rule, infos, err := w.withTimes(ctx, rule, source, remote)
	if err != nil {
		return unchangedResult(policy, err), err
	}
	candidates := policy.Status.Candidates
	latest, err := w.selectLatest(ctx, policy, rule, source, remote)
	if err != nil {
		return unchangedResult(policy, err), err
	}
	ref, after, err := w.reflectDigest(ctx, policy, image.NewRef(source.snapshot.Image, latest.tag, latest.digest), remote)
	if err != nil {
		return conditions.Result{}, err
	}
	after = earlier(after, latest.after)
	if !source.snapshot.Has(latest.tag) { // no scan notices that an unlisted tag is deleted: it is requested again
		after = earlier(after, source.repo.GetRequeueAfter())
	}
	if latest.info.Digest == "" && ref.Digest != "" { // without a digest, the tag may have been moved since
		latest.info = infos[latest.tag]
	}
	moved := setLatest(change{policy: policy, ref: ref, rule: rule, source: source, info: latest.info, candidates: candidates}, time.Now())
	return conditions.Result{Message: readyMessage(policy.Status) + staleTagsNote(source.repo), After: after, Selection: moved}, nil
}

// earlier returns the shorter of two durations. Zero means never.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// unchangedResult returns the result of a policy that may stay ready in spite of err.
func unchangedResult(policy *v1.ImagePolicy, err error) conditions.Result {
	return conditions.Result{Message: unchangedMessage(policy.Status, err.Error())}
}

// staleTagsNote returns a note for the message if the tags may be out of date.
func staleTagsNote(repo *v1.ImageRepository) string {
	if failureMessage(repo) == "" {
		return ""
	}
	return fmt.Sprintf(" (of the tags known so far: the scans of ImageRepository '%s/%s' fail)", repo.Namespace, repo.Name)
}

// selectLatest returns the best tag that passes the policy's gates. If the current tag is missing
// from the list although rule and exclusions accept it, a lower tag is selected only if the
// registry confirms that the current one does not exist: some registries return incomplete lists.
func (w *Worker) selectLatest(
	ctx context.Context, policy *v1.ImagePolicy, rule *selection.Rule, source tagSource, remote *registryReader,
) (*selected, error) {
	selector, err := w.newSelector(ctx, policy, rule, source, remote)
	if err != nil {
		return nil, err
	}
	best, err := selector.selectBest(ctx)
	if err != nil {
		return nil, err
	}
	if current := policy.Status.LatestRef; repository.NeedsConfirmation(rule, source.repo, source.snapshot, best.choice(), current) {
		exists, err := remote.Exists(ctx, current.Tag)
		if err != nil {
			return nil, w.unconfirmedError(current.Tag, err)
		}
		if exists {
			if unlisted, err := selector.selectTag(ctx, current.Tag); unlisted != nil || err != nil {
				return unlisted, err
			}
		}
	}
	if best == nil {
		return nil, selector.noneSelected()
	}
	return best, nil
}

// unconfirmedError returns the error that keeps the current tag until the registry can be reached.
func (w *Worker) unconfirmedError(tag string, err error) error {
	if _, deferred := errors.AsType[*conditions.DeferredError](err); deferred {
		return err
	}
	after := w.RequeueDependency
	reason := v1.ReadOperationFailedReason
	if failure, ok := errors.AsType[*registry.Error](err); ok {
		reason, after = failure.Reason(), max(after, failure.RetryAfter)
	}
	return conditions.KeepReady(reason, after,
		fmt.Errorf("tag '%s' is missing from the list of tags, and its deletion could not be confirmed: %w", tag, err))
}

// reflectDigest returns ref with the digest by the policy's digestReflectionPolicy, and the time
// until the digest must be checked again, 0 for never.
func (w *Worker) reflectDigest(
	ctx context.Context, policy *v1.ImagePolicy, ref *v1.ImageRef, remote *registryReader,
) (*v1.ImageRef, time.Duration, error) {
	if ref.Digest != "" {
		return w.reflectPassed(policy, ref)
	}
	delay := w.digestDelay(policy)
	current := policy.Status.LatestRef
	// the digest of an image that is about to be replaced is not checked
	delayed := delay > 0 || remote.source.imageChanged()
	switch reflect(policy.GetDigestReflectionPolicy(), current, ref.Name, ref.Tag, delayed) {
	case keepDigest:
		return image.NewRef(ref.Name, ref.Tag, current.Digest), delay, nil
	case fetchDigest:
		digest, err := remote.Digest(ctx, ref.Tag)
		if err != nil {
			return nil, 0, err
		}
		w.digestDelays.clear(policy)
		return image.NewRef(ref.Name, ref.Tag, digest), w.interval(policy), nil
	default:
		return ref, 0, nil
	}
}

// reflectPassed returns ref, whose digest passed the policy's gates, without the digest under
// ReflectNever, and the time until the digest must be checked again.
func (w *Worker) reflectPassed(policy *v1.ImagePolicy, ref *v1.ImageRef) (*v1.ImageRef, time.Duration, error) {
	switch policy.GetDigestReflectionPolicy() {
	case v1.ReflectNever:
		return image.NewRef(ref.Name, ref.Tag, ""), 0, nil
	case v1.ReflectAlways:
		return ref, cmp.Or(w.digestDelay(policy), w.interval(policy)), nil
	default:
		return ref, 0, nil
	}
}

// digestDelay returns the time until the first check of a digest after the start of the process. It
// is 0 if the policy is not ready or a reconcile was requested.
func (w *Worker) digestDelay(policy *v1.ImagePolicy) time.Duration {
	if policy.GetDigestReflectionPolicy() != v1.ReflectAlways {
		return 0
	}
	delay := w.digestDelays.remaining(policy, time.Now())
	if !conditions.ReadyNow(policy) || scan.IsRequested(policy, policy.Status.LastHandledReconcileAt) {
		return 0
	}
	return delay
}

// interval returns the time until the next check of the digest. It is called after a check, so the
// current time seeds the jitter (docs/design/0006).
func (w *Worker) interval(policy *v1.ImagePolicy) time.Duration {
	return scan.Spread(policy.GetInterval(), w.JitterPercent, string(policy.UID)+time.Now().UTC().Format(time.RFC3339))
}
