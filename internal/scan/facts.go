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

// Stored tells of tags that are stored, without the tags: nothing, as the zero
// value, where there are none.
type Stored struct {
	// Image is the image whose tags they are.
	Image string
	// Revision is the hash of the tags.
	Revision string
}

// MatchesLastScan reports whether they are the tags of the repository's last scan.
// Stored ones that are older, because the storage was restored or belongs to a
// replica that did not lead for a while, may hold tags that are gone.
func (h Stored) MatchesLastScan(repo *v1.ImageRepository) bool {
	last := repo.Status.LastScanResult
	// a CRD of another implementation doesn't keep the observed image
	observed := cmp.Or(repo.Status.ObservedImage, h.Image)
	return last != nil && h.Image != "" && h.Image == observed && h.Revision == last.Revision
}

// StateOf returns the facts about a repository that its spec and its status
// tell, with the time between two scans of it and what is held of its tags.
func StateOf(repo *v1.ImageRepository, interval time.Duration, held Stored, now time.Time) State {
	status := repo.Status
	facts := State{
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
		facts.LastScan = status.LastScanResult.ScanTime.Time
		facts.Stored = held.MatchesLastScan(repo)
	}
	return facts
}

// IsRequested reports whether a reconcile of the object was asked for that is
// not the one which was handled last.
func IsRequested(obj metav1.Object, handled string) bool {
	request, found := meta.ReconcileAnnotationValue(obj.GetAnnotations())
	return found && request != handled
}
