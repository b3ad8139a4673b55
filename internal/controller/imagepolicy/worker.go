// SPDX-License-Identifier: Apache-2.0

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

// Worker selects the latest image. It is the worker of the ImagePolicy
// kind.
type Worker struct {
	// Reader reads ImageRepositories.
	Reader client.Reader
	// Access says which of them a policy may use.
	Access Access
	// Shard tells of ImageRepositories that Reader does not see.
	Shard Shard
	// Auth says how a registry is reached.
	Auth registry.AuthOptionsGetter
	// Open opens the image repository whose tags are looked at.
	Open OpenRepository
	// Store holds the tags to select from, and what was learned of their images.
	Store TagStore
	// VerifierFactory check signatures.
	Verifiers VerifierFactory
	// Wake enqueues an object that waited for its turn at a registry.
	Wake func(name types.NamespacedName)
	// RequeueDependency is the time between two looks at a dependency that is
	// not ready.
	RequeueDependency time.Duration
	// JitterPercent is by how much an interval is moved, so that objects which
	// were made together are not looked at together forever.
	JitterPercent uint8

	digestDelays digestDelays
	missing      missingSince
	evaluations  reconcile.PerObject[evaluationMemory]
}

// TagStore is the part of a store.Store that a policy needs.
type TagStore interface {
	Get(ctx context.Context, key store.Key) (scan.Snapshot, error)
	Info(ctx context.Context, key store.Key) (store.Info, error)
	Facts(ctx context.Context, key store.Key) (map[string]admission.ImageInfo, error)
	PutFacts(ctx context.Context, key store.Key, facts map[string]admission.ImageInfo) error
}

var _ reconcile.Worker[*v1.ImagePolicy] = &Worker{}

// New returns an empty ImagePolicy.
func (w *Worker) New() *v1.ImagePolicy { return &v1.ImagePolicy{} }

// Suspended reports whether the policy is to be left as it is.
func (w *Worker) Suspended(policy *v1.ImagePolicy) bool { return policy.Spec.Suspend }

// Forget drops what is remembered of a policy that is gone.
func (w *Worker) Forget(_ context.Context, name types.NamespacedName) error {
	w.digestDelays.Forget(name)
	w.missing.Forget(name)
	w.evaluations.Forget(name)
	if w.Verifiers != nil {
		w.Verifiers.Forget(name)
	}
	return nil
}

// Work selects the latest image and notes it in the status.
func (w *Worker) Work(ctx context.Context, policy *v1.ImagePolicy, begin reconcile.ProgressFunc) (conditions.Result, error) {
	migrateRefs(ctrl.LoggerFrom(ctx), &policy.Status)
	rule, err := selection.Compile(&policy.Spec)
	if err != nil {
		return conditions.Result{}, conditions.Stalled(v1.InvalidPolicyReason, err)
	}
	from, err := w.load(ctx, policy)
	if err != nil {
		return keptResult(policy, err), err
	}
	remote := w.newRegistryReader(policy, from, begin)
	if rule, err = w.withTimes(ctx, rule, from, remote); err != nil {
		return keptResult(policy, err), err
	}
	pick, err := w.selectLatest(ctx, policy, rule, from, remote)
	if err != nil {
		return keptResult(policy, err), err
	}
	ref, after, err := w.reflectDigest(ctx, policy, image.NewRef(from.snapshot.Image, pick.tag, pick.digest), remote)
	if err != nil {
		return conditions.Result{}, err
	}
	after = earlier(after, pick.after)
	if !from.snapshot.Has(pick.tag) { // no watch tells when a tag that is not listed vanishes
		after = earlier(after, from.repo.GetRequeueAfter())
	}
	setLatest(&policy.Status, ref)
	return conditions.Result{Message: readyMessage(policy.Status) + staleTagsNote(from.repo), After: after}, nil
}

// earlier returns the shorter of two times, of which zero means never.
func earlier(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// keptResult is the result of a policy that stays ready in spite of err.
func keptResult(policy *v1.ImagePolicy, err error) conditions.Result {
	return conditions.Result{Message: keptMessage(policy.Status, err.Error())}
}

// staleTagsNote tells people of a selection from tags that may be out of date.
func staleTagsNote(repo *v1.ImageRepository) string {
	if failureMessage(repo) == "" {
		return ""
	}
	return fmt.Sprintf(" (of the tags known so far: the scans of ImageRepository '%s/%s' fail)", repo.Namespace, repo.Name)
}

// selectLatest returns what the rule selects, of the tags that pass the policy's gates. A
// tag that is missing from the list although the rule and the exclusions accept it
// is given up for a lower one only if the registry says that it is gone:
// registries sometimes answer with lists that lack tags.
func (w *Worker) selectLatest(
	ctx context.Context, policy *v1.ImagePolicy, rule *selection.Rule, from tagSource, remote *registryReader,
) (*selected, error) {
	search, err := w.newSelector(ctx, policy, rule, from, remote)
	if err != nil {
		return nil, err
	}
	pick, err := search.selectBest(ctx)
	if err != nil {
		return nil, err
	}
	if current := policy.Status.LatestRef; repository.NeedsConfirmation(rule, from.repo, from.snapshot, pick.choice(), current) {
		exists, err := remote.Exists(ctx, current.Tag)
		if err != nil {
			return nil, w.keepUnconfirmed(current.Tag, err)
		}
		if exists {
			if unlisted, err := search.selectTag(ctx, current.Tag); unlisted != nil || err != nil {
				return unlisted, err
			}
		}
	}
	if pick == nil {
		return nil, search.noneSelected()
	}
	return pick, nil
}

// keepUnconfirmed keeps the current tag until the registry can be asked.
func (w *Worker) keepUnconfirmed(tag string, err error) error {
	if _, deferred := errors.AsType[*conditions.DeferredError](err); deferred {
		return err
	}
	after := w.RequeueDependency
	reason := v1.ReadOperationFailedReason
	if failure, ok := errors.AsType[*registry.Error](err); ok {
		reason, after = failure.Reason(), max(after, failure.RetryAfter)
	}
	return conditions.KeepReady(reason, after,
		fmt.Errorf("tag '%s' is missing from the list of tags, and whether it is gone could not be confirmed: %w", tag, err))
}

// reflectDigest returns ref with the digest that the policy wants in it, and the
// time until it is due to be looked at again.
func (w *Worker) reflectDigest(
	ctx context.Context, policy *v1.ImagePolicy, ref *v1.ImageRef, remote *registryReader,
) (*v1.ImageRef, time.Duration, error) {
	if ref.Digest != "" {
		return w.reflectAdmitted(policy, ref)
	}
	rest := w.digestDelay(policy)
	held := policy.Status.LatestRef
	// a digest of an image that is being replaced is not worth asking for
	resting := rest > 0 || remote.source.imageChanged()
	switch reflect(policy.GetDigestReflectionPolicy(), held, ref.Name, ref.Tag, resting) {
	case keepDigest:
		return image.NewRef(ref.Name, ref.Tag, held.Digest), rest, nil
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

// reflectAdmitted returns ref, whose digest passed the policy's gates: that one is
// reflected, unless none is wanted.
func (w *Worker) reflectAdmitted(policy *v1.ImagePolicy, ref *v1.ImageRef) (*v1.ImageRef, time.Duration, error) {
	switch policy.GetDigestReflectionPolicy() {
	case v1.ReflectNever:
		return image.NewRef(ref.Name, ref.Tag, ""), 0, nil
	case v1.ReflectAlways:
		return ref, cmp.Or(w.digestDelay(policy), w.interval(policy)), nil
	default:
		return ref, 0, nil
	}
}

// digestDelay returns how long the digest of a policy that was up to date before the
// process started is still left as it is.
func (w *Worker) digestDelay(policy *v1.ImagePolicy) time.Duration {
	if policy.GetDigestReflectionPolicy() != v1.ReflectAlways {
		return 0
	}
	rest := w.digestDelays.remaining(policy, time.Now())
	if !conditions.ReadyNow(policy) || scan.IsRequested(policy, policy.Status.LastHandledReconcileAt) {
		return 0
	}
	return rest
}

func (w *Worker) interval(policy *v1.ImagePolicy) time.Duration {
	return scan.Spread(policy.GetInterval(), w.JitterPercent, string(policy.UID)+time.Now().UTC().Format(time.RFC3339))
}
