// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"cmp"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Stored identifies a stored tag list. It is zero if nothing is stored.
type Stored struct {
	// Image is the image of the tags.
	Image string
	// Revision is the hash of the tags.
	Revision string
}

// MatchesLastScan reports whether the stored tags are those of the repository's last scan. They are
// outdated if the storage was restored, or belongs to a replica that was not the leader for a
// while.
func (s Stored) MatchesLastScan(repo *v1.ImageRepository) bool {
	last := repo.Status.LastScanResult
	// empty if the CRD of another implementation dropped the field
	observed := cmp.Or(repo.Status.ObservedImage, s.Image)
	return last != nil && s.Image != "" && s.Image == observed && s.Revision == last.Revision
}

// StateOf returns the state of a repository: its spec and status, the interval, and its stored
// tags.
func StateOf(repo *v1.ImageRepository, interval time.Duration, stored Stored, now time.Time) State {
	status := repo.Status
	state := State{
		Now:                now,
		Interval:           interval,
		Image:              repo.Spec.Image,
		ObservedImage:      status.ObservedImage,
		Exclusions:         repo.GetExclusionList(),
		ObservedExclusions: status.ObservedExclusionList,
		Failing:            !apimeta.IsStatusConditionTrue(status.Conditions, meta.ReadyCondition),
		Requested:          IsRequested(repo, status.LastHandledReconcileAt),
	}
	if status.LastScanResult != nil {
		state.LastScan = status.LastScanResult.ScanTime.Time
		state.Stored = stored.MatchesLastScan(repo)
	}
	return state
}

// IsRequested reports whether the reconcile request of the object differs from the one handled
// last.
func IsRequested(obj metav1.Object, handled string) bool {
	request, found := meta.ReconcileAnnotationValue(obj.GetAnnotations())
	return found && request != handled
}
