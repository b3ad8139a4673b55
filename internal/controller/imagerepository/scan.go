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
	stored       store.Info // of the scan before
	lastRevision string     // the revision of the scan before
	started      time.Time  // when it was let in, zero where it was not
}

// Repository lists the tags of an image repository in a registry. List returns a
// *ratelimit.BusyError if the rate limiter of the host defers it.
type Repository interface {
	List(ctx context.Context, known registry.Fingerprint) (registry.TagList, error)
	Close()
}

// OpenRepository returns a Repository, without a request.
type OpenRepository func(registry.Access) Repository

// Scans is told of scans.
type Scans interface {
	// Observe counts a scan, which took no time where it was not let in.
	Observe(img image.Name, outcome string, took time.Duration)
}

// scan lists the tags and notes what it found.
func (s *scanOperation) scan(ctx context.Context, begin func()) (registry.TagList, error) {
	list, err := s.list(ctx, func() {
		s.started = time.Now()
		begin()
	})
	if err == nil {
		err = s.record(ctx, list)
	}
	if s.Scans != nil && !s.isDeferred(ctx, err) {
		s.Scans.Observe(s.name, s.outcome(err), s.duration())
	}
	return list, err
}

// isDeferred reports whether the scan is still to come, or was ended by the end
// of the process.
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

// changed reports whether a scan that succeeded found other tags than the one
// before.
func (s *scanOperation) changed() bool { return conditions.Revision(s.repo) != s.lastRevision }

// duration returns for how long the scan has been under way, 0 where it was not let in.
func (s *scanOperation) duration() time.Duration {
	if s.started.IsZero() {
		return 0
	}
	return time.Since(s.started)
}

// list lists the tags, less the excluded ones, once it is let in. The timeout
// spans all of it, credentials and exclusions included.
func (s *scanOperation) list(ctx context.Context, begin func()) (registry.TagList, error) {
	access := reconcile.RegistryAccess(s.Auth, s.repo, s.name)
	access.Waiter = reconcile.Waiter(v1.ImageRepositoryKind, client.ObjectKeyFromObject(s.repo), s.Wake)
	access.Admitted = begin
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

// knownFingerprint is the fingerprint of the list whose tags both the store and the status have.
func (s *scanOperation) knownFingerprint() registry.Fingerprint {
	if s.stored.Image != s.repo.Spec.Image || !storedOf(s.stored).MatchesLastScan(s.repo) ||
		!slices.Equal(s.repo.Status.ObservedExclusionList, s.repo.GetExclusionList()) {
		return ""
	}
	return s.lists.fingerprint(s.repo, s.stored.Revision)
}

// filterBatch is how many tags are filtered between two looks at the clock: an
// expression can take milliseconds for each.
const filterBatch = 16

// filter leaves the excluded tags out, for as long as ctx allows.
func filter(ctx context.Context, tags []string, exclusions scan.Exclusions) ([]string, error) {
	kept := tags[:0] // a list is long, and the caller's own
	for some := range slices.Chunk(tags, filterBatch) {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("spec.timeout is over before spec.exclusionList was compared with all of the %d tags: "+
				"simplify its regular expressions, or raise spec.timeout", len(tags))
		}
		kept = exclusions.AppendRemaining(kept, some)
	}
	return kept, nil
}

// record notes in the store and the status what the scan found.
func (s *scanOperation) record(ctx context.Context, list registry.TagList) error {
	now := time.Now()
	if list.Unchanged {
		s.repo.Status.LastScanResult.ScanTime = metav1.NewTime(now).Rfc3339Copy()
		return nil
	}
	if err := s.save(ctx, list.Tags, now); err != nil {
		return err
	}
	s.lists.put(s.repo, list.Fingerprint)
	return nil
}

// saveFacts stores the tags before it notes them in the status, so that a status
// never tells of tags that the store lacks.
func (s *scanOperation) save(ctx context.Context, tags []string, now time.Time) error {
	previous, err := s.Store.Get(ctx, store.KeyOf(s.repo))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	next := scan.Next(previous, s.repo.Spec.Image, tags, now)
	if previous.Image == "" { // an older object of the same name may have left something
		if err := s.Store.Forget(ctx, client.ObjectKeyFromObject(s.repo), s.repo.UID); err != nil {
			return fmt.Errorf("the tags of an older object could not be removed: %w", err)
		}
	}
	changed := !next.Equal(previous)
	if changed {
		if err := s.Store.Put(ctx, store.KeyOf(s.repo), next); err != nil {
			return fmt.Errorf("tags could not be stored: %w", err)
		}
	}
	if silent := s.setStatus(next, now); silent && changed && s.Saved != nil {
		s.Saved(ctx, client.ObjectKeyFromObject(s.repo))
	}
	return nil
}

// setStatus notes the tags in the status, and reports whether it says the same of them
// as before.
func (s *scanOperation) setStatus(next scan.Snapshot, now time.Time) bool {
	status := &s.repo.Status
	result := &v1.ScanResult{
		Revision:   next.Revision(),
		TagCount:   len(next.Tags),
		ScanTime:   metav1.NewTime(now).Rfc3339Copy(),
		LatestTags: next.Latest(latestTags),
	}
	same := status.LastScanResult != nil && status.LastScanResult.Revision == result.Revision && status.ObservedImage == next.Image
	status.LastScanResult = result
	status.ObservedImage = next.Image
	status.ObservedExclusionList = slices.Clone(s.repo.GetExclusionList())
	return same
}
