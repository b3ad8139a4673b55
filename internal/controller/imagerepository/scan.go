// SPDX-License-Identifier: Apache-2.0

package imagerepository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/metrics"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// scanOperation is one scan of an image repository.
type scanOperation struct {
	*Worker
	repo         *v1.ImageRepository
	name         image.Name
	exclusions   scan.Exclusions
	stored       store.Info // of the previous scan
	lastRevision string     // of the previous scan
	started      time.Time  // when the rate limiter granted the ticket, or zero
}

// Repository lists the tags of an image repository in a registry. List returns a
// *ratelimit.BusyError if the rate limiter of the host defers it.
type Repository interface {
	List(ctx context.Context, known registry.Fingerprint) (registry.TagList, error)
	Close()
}

// OpenRepository returns a Repository. It sends no request.
type OpenRepository func(registry.Access) Repository

// Scans records scans.
type Scans interface {
	// Observe records the outcome and the duration of a scan. The duration is 0 if the rate limiter
	// did not grant a ticket.
	Observe(img image.Name, outcome string, duration time.Duration)
}

// scan lists the tags, and writes them to the store and the status.
func (s *scanOperation) scan(ctx context.Context, admitted func()) (registry.TagList, error) {
	list, err := s.list(ctx, func() {
		s.started = time.Now()
		admitted()
	})
	if err == nil {
		err = s.record(ctx, list)
	}
	if s.Scans != nil && !s.isDeferred(ctx, err) {
		s.Scans.Observe(s.name, s.outcome(err), s.duration())
	}
	return list, err
}

// isDeferred reports whether the scan was postponed, or was interrupted by a shutdown.
func (s *scanOperation) isDeferred(ctx context.Context, err error) bool {
	_, deferred := errors.AsType[*conditions.DeferredError](err)
	return deferred || err != nil && ctx.Err() != nil
}

func (s *scanOperation) outcome(err error) string {
	switch {
	case err != nil:
		return conditions.Reason(err)
	case s.changed():
		return metrics.ScanChanged
	default:
		return metrics.ScanUnchanged
	}
}

// changed reports whether a successful scan found other tags than the previous one.
func (s *scanOperation) changed() bool { return conditions.Revision(s.repo) != s.lastRevision }

// duration returns the time since the rate limiter granted the ticket, 0 if it did not.
func (s *scanOperation) duration() time.Duration {
	if s.started.IsZero() {
		return 0
	}
	return time.Since(s.started)
}

// list lists the tags without the excluded ones, and calls admitted when the rate limiter grants
// the ticket. The timeout includes credentials and exclusions.
func (s *scanOperation) list(ctx context.Context, admitted func()) (registry.TagList, error) {
	access := reconcile.RegistryAccess(s.Auth, s.repo, s.name)
	access.Waiter = reconcile.Waiter(v1.ImageRepositoryKind, client.ObjectKeyFromObject(s.repo), s.Wake)
	access.Granted = admitted
	repo := s.Open(access)
	defer repo.Close()
	ctx, cancel := context.WithTimeout(ctx, s.repo.GetTimeout())
	defer cancel()
	list, err := repo.List(ctx, s.knownFingerprint())
	if err != nil {
		return registry.TagList{}, reconcile.ClassifyRegistryError(err)
	}
	list.Tags, err = filter(ctx, list.Tags, s.exclusions)
	return list, err
}

// knownFingerprint returns the fingerprint of the cached list if the store and the status match it.
func (s *scanOperation) knownFingerprint() registry.Fingerprint {
	if s.stored.Image != s.repo.Spec.Image || !storedOf(s.stored).MatchesLastScan(s.repo) ||
		!slices.Equal(s.repo.Status.ObservedExclusionList, s.repo.GetExclusionList()) {
		return ""
	}
	return s.lists.fingerprint(s.repo, s.stored.Revision)
}

// filterBatch is the number of tags that are filtered between two checks of the context: an
// expression can take milliseconds per tag.
const filterBatch = 16

// filter returns the tags without the excluded ones. It reuses the slice.
func filter(ctx context.Context, tags []string, exclusions scan.Exclusions) ([]string, error) {
	remaining := tags[:0]
	for batch := range slices.Chunk(tags, filterBatch) {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("spec.timeout expired before spec.exclusionList was compared with all of the %d tags: "+
				"simplify its regular expressions, or raise spec.timeout", len(tags))
		}
		remaining = exclusions.AppendRemaining(remaining, batch)
	}
	return remaining, nil
}

// record writes the result of the scan to the store and the status.
func (s *scanOperation) record(ctx context.Context, list registry.TagList) error {
	now := time.Now()
	if list.Unchanged {
		s.repo.Status.LastScanResult.ScanTime = metav1.NewTime(now).Rfc3339Copy()
		return s.resizeLatestTags(ctx, s.repo)
	}
	if err := s.save(ctx, list.Tags, now); err != nil {
		return err
	}
	s.lists.put(s.repo, list.Fingerprint)
	return nil
}

// save writes the tags to the store first and then to the status, so that the status never
// describes tags that are not stored.
func (s *scanOperation) save(ctx context.Context, tags []string, now time.Time) error {
	previous, err := s.Store.Get(ctx, reconcile.StoreKey(s.repo))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	next := scan.Next(previous, s.repo.Spec.Image, tags, now)
	if previous.Image == "" { // tags of a previous object of the same name may be stored
		if err := s.Store.Forget(ctx, client.ObjectKeyFromObject(s.repo), s.repo.UID); err != nil {
			return fmt.Errorf("the tags of an older object could not be removed: %w", err)
		}
	}
	changed := !next.Equal(previous)
	if changed {
		if err := s.Store.Put(ctx, reconcile.StoreKey(s.repo), next); err != nil {
			return fmt.Errorf("tags could not be stored: %w", err)
		}
	}
	if sameRevision := s.setStatus(next, now); sameRevision && changed && s.NotifyPolicies != nil {
		s.NotifyPolicies(ctx, client.ObjectKeyFromObject(s.repo))
	}
	return nil
}

// setStatus writes the tags to the status, and reports whether image and revision stay the same.
func (s *scanOperation) setStatus(next scan.Snapshot, now time.Time) bool {
	status := &s.repo.Status
	result := &v1.ScanResult{
		Revision:   next.Revision(),
		TagCount:   len(next.Tags),
		ScanTime:   metav1.NewTime(now).Rfc3339Copy(),
		LatestTags: next.Latest(s.repo.GetLatestTags()),
	}
	sameRevision := status.LastScanResult != nil && status.LastScanResult.Revision == result.Revision && status.ObservedImage == next.Image
	status.LastScanResult = result
	status.ObservedImage = next.Image
	status.ObservedExclusionList = slices.Clone(s.repo.GetExclusionList())
	return sameRevision
}
