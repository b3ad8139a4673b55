// SPDX-License-Identifier: Apache-2.0

// Package imagerepository holds the worker of ImageRepositories: it scans image repositories and
// stores their tags.
package imagerepository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// Worker is the reconcile.Worker of ImageRepositories: it scans image repositories.
type Worker struct {
	// Auth returns the credentials and transport settings of a registry.
	Auth registry.AuthOptionsGetter
	// Open opens an image repository.
	Open OpenRepository
	// Store stores the tags.
	Store *store.Store
	// NotifyPolicies is called if the stored tags of an object changed but image and revision in
	// its status did not, for example after the store was lost: no watch of the policies fires.
	NotifyPolicies func(ctx context.Context, name types.NamespacedName)
	// Wake enqueues an object that waits for a ticket of a rate limiter.
	Wake func(name types.NamespacedName)
	// Scans records every scan. It may be nil.
	Scans Scans
	// JitterPercent is the jitter of intervals, so that objects that were created together are not
	// always scanned together.
	JitterPercent uint8

	lists  listCache
	recent recentRevisions
}

var _ reconcile.Worker[*v1.ImageRepository] = &Worker{}

// New returns an empty ImageRepository.
func (w *Worker) New() *v1.ImageRepository { return &v1.ImageRepository{} }

// Suspended reports whether scans are suspended.
func (w *Worker) Suspended(repo *v1.ImageRepository) bool { return repo.Spec.Suspend }

// Forget removes the cached data and the stored tags of a deleted ImageRepository.
func (w *Worker) Forget(ctx context.Context, name types.NamespacedName) error {
	w.lists.Forget(name)
	w.recent.Forget(name)
	return w.Store.Forget(ctx, name, "")
}

// Work scans the image repository if a scan is due.
func (w *Worker) Work(ctx context.Context, repo *v1.ImageRepository, progress reconcile.ProgressFunc) (conditions.Result, error) {
	name, exclusions, err := parseRepository(repo)
	if err != nil {
		return conditions.Result{}, err
	}
	repo.Status.CanonicalImageName = name.Canonical()

	stored, err := w.stored(ctx, repo)
	if err != nil {
		return conditions.Result{}, err
	}
	decision := scan.Decide(scan.StateOf(repo, w.interval(repo), storedOf(stored), time.Now()))
	reason, due := decision.Due()
	if !due {
		return readyResult(repo, decision.Wait()), w.resizeLatestTags(ctx, repo)
	}
	operation := &scanOperation{
		Worker: w, repo: repo, name: name, exclusions: exclusions, stored: stored, lastRevision: conditions.Revision(repo),
	}
	list, err := operation.scan(ctx, func() { progress(fmt.Sprintf("scanning %s: %s", name, reason)) })
	if err != nil {
		return conditions.Result{}, err
	}
	if log := ctrl.LoggerFrom(ctx).V(1); log.Enabled() {
		log.Info("scanned", "due", reason, "tags", repo.Status.LastScanResult.TagCount, "unchanged", !operation.changed(),
			"invalid", list.Invalid, "duration", operation.duration().String())
	}
	result := readyResult(repo, w.interval(repo))
	result.SuppressEvent = w.recent.record(operation.lastRevision, repo, time.Now())
	return result, nil
}

func parseRepository(repo *v1.ImageRepository) (image.Name, scan.Exclusions, error) {
	name, err := image.Parse(repo.Spec.Image, repo.Spec.Insecure)
	if err != nil {
		return image.Name{}, scan.Exclusions{}, conditions.Stalled(v1.ImageURLInvalidReason, err)
	}
	exclusions, err := scan.CompileExclusions(repo.GetExclusionList())
	if err != nil {
		return image.Name{}, scan.Exclusions{}, conditions.Stalled(v1.FailureReason, err)
	}
	return name, exclusions, nil
}

// stored returns what the store has of the object, the zero value if it has nothing.
func (w *Worker) stored(ctx context.Context, repo *v1.ImageRepository) (store.Info, error) {
	info, err := w.Store.Info(ctx, reconcile.StoreKey(repo))
	if errors.Is(err, store.ErrNotFound) {
		return store.Info{}, nil
	}
	return info, err
}

func storedOf(stored store.Info) scan.Stored {
	return scan.Stored{Image: stored.Image, Revision: stored.Revision}
}

// resizeLatestTags updates the latest tags in the status from the stored tags if spec.latestTags
// changed. Otherwise it reads nothing.
func (w *Worker) resizeLatestTags(ctx context.Context, repo *v1.ImageRepository) error {
	last := repo.Status.LastScanResult
	if len(last.LatestTags) == min(repo.GetLatestTags(), last.TagCount) {
		return nil
	}
	snapshot, err := w.Store.Get(ctx, reconcile.StoreKey(repo))
	if err != nil {
		return err
	}
	last.LatestTags = snapshot.Latest(repo.GetLatestTags())
	return nil
}

// interval returns the time between the last scan and the next.
func (w *Worker) interval(repo *v1.ImageRepository) time.Duration {
	seed := string(repo.UID)
	if last := repo.Status.LastScanResult; last != nil {
		seed += last.ScanTime.UTC().Format(time.RFC3339)
	}
	return scan.Spread(repo.GetRequeueAfter(), w.JitterPercent, seed)
}

// readyResult returns the result for an object whose tags are up to date.
func readyResult(repo *v1.ImageRepository, wait time.Duration) conditions.Result {
	last := repo.Status.LastScanResult
	return conditions.Result{
		Message: fmt.Sprintf("successful scan: found %d tags with checksum %s", last.TagCount, last.Revision),
		After:   wait,
	}
}
