// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	runtimeacl "github.com/fluxcd/pkg/runtime/acl"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/repository"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// tagSource is a scanned ImageRepository that a policy selects from.
type tagSource struct {
	repo     *v1.ImageRepository
	snapshot scan.Snapshot
	// name is the image whose tags the snapshot holds.
	name image.Name
	// filtered caches the result of matchingTags. It is never nil.
	filtered *filteredTags
}

// load reads the policy's ImageRepository and its stored tags.
func (w *Worker) load(ctx context.Context, policy *v1.ImagePolicy) (tagSource, error) {
	repo, err := w.repository(ctx, policy)
	if err != nil {
		return tagSource{}, err
	}
	if _, err := image.Parse(repo.Spec.Image, repo.Spec.Insecure); err != nil {
		return tagSource{}, conditions.Stalled(v1.ImageURLInvalidReason,
			fmt.Errorf("ImageRepository '%s/%s' has an %w", repo.Namespace, repo.Name, err))
	}
	snapshot, err := w.Store.Get(ctx, reconcile.StoreKey(repo))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return tagSource{}, err
	}
	if err != nil || !(scan.Stored{Image: snapshot.Image, Revision: snapshot.Revision()}).MatchesLastScan(repo) {
		return tagSource{}, w.unscanned(policy, repo)
	}
	name, err := image.Parse(snapshot.Image, repo.Spec.Insecure)
	return newTagSource(repo, snapshot, name), err
}

func newTagSource(repo *v1.ImageRepository, snapshot scan.Snapshot, name image.Name) tagSource {
	return tagSource{repo: repo, snapshot: snapshot, name: name, filtered: &filteredTags{}}
}

// imageChanged reports whether spec.image was changed since the last scan.
func (s tagSource) imageChanged() bool { return s.snapshot.Image != s.repo.Spec.Image }

// scannedRepository returns the repository with the image that was scanned, which the lookup of
// credentials depends on.
func (s tagSource) scannedRepository() *v1.ImageRepository {
	repo := *s.repo
	repo.Spec.Image = s.snapshot.Image
	return &repo
}

// repository returns the policy's ImageRepository if the policy may use it.
func (w *Worker) repository(ctx context.Context, policy *v1.ImagePolicy) (*v1.ImageRepository, error) {
	key := repository.KeyOf(policy)
	if err := w.Access.checkCrossNamespace(policy.Namespace, key); err != nil {
		return nil, w.classifyAccessError(err)
	}
	repo := &v1.ImageRepository{}
	if err := w.Reader.Get(ctx, key, repo); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, w.notCached(ctx, policy, key)
		}
		return nil, err
	}
	w.missing.Forget(client.ObjectKeyFromObject(policy))
	if err := w.Access.check(ctx, repo, policy.Namespace); err != nil {
		return nil, w.classifyAccessError(err)
	}
	return repo, nil
}

// classifyAccessError wraps an AccessDeniedError in a WaitingError. Other errors are returned
// unchanged.
func (w *Worker) classifyAccessError(err error) error {
	if runtimeacl.IsAccessDenied(err) {
		return conditions.Waiting(acl.AccessDeniedReason, w.RequeueDependency, err)
	}
	return err
}

// initialGracePeriod is how long the status of a new policy is not written while the status of its
// ImageRepository is empty.
const initialGracePeriod = 5 * time.Minute

// unscanned returns the error about missing tags. A new policy of a new repository reports nothing
// yet: the watch requeues it after the first scan.
func (w *Worker) unscanned(policy *v1.ImagePolicy, repo *v1.ImageRepository) error {
	problem := missingTags(repo)
	newer := policy.CreationTimestamp.Time
	if repo.CreationTimestamp.After(newer) {
		newer = repo.CreationTimestamp.Time
	}
	untouched := len(policy.Status.Conditions) == 0 && policy.Status.LatestRef == nil
	remaining := initialGracePeriod - time.Since(newer)
	if remaining > 0 && untouched && len(repo.Status.Conditions) == 0 && !repo.Spec.Suspend {
		return conditions.Deferred(remaining, problem)
	}
	return conditions.KeepReady(meta.DependencyNotReadyReason, w.RequeueDependency, problem)
}

func missingTags(repo *v1.ImageRepository) error {
	problem := failureMessage(repo)
	switch {
	case repo.Spec.Suspend:
		problem = "its scans are suspended, resume it"
	case problem == "":
		problem = "a scan is pending"
	}
	return fmt.Errorf("no tags of ImageRepository '%s/%s' are known: %s", repo.Namespace, repo.Name, problem)
}

// failureMessage returns the message of the Ready condition if it is False, otherwise "".
func failureMessage(repo *v1.ImageRepository) string {
	ready := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition)
	if ready == nil || ready.Status != metav1.ConditionFalse {
		return ""
	}
	return ready.Message
}
