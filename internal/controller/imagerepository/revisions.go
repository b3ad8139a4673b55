// SPDX-License-Identifier: Apache-2.0

package imagerepository

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
)

const (
	// revisionTTL is how long no event is emitted if a replaced revision returns.
	revisionTTL = time.Hour
	// maxRevisions is the number of revisions that are cached per object.
	maxRevisions = 8
)

// recentRevisions caches the recently replaced revisions of repositories. A registry with
// inconsistent replicas alternates between a few lists: each causes one event, not one per scan.
type recentRevisions struct {
	reconcile.PerObject[objectRevisions]
}

type objectRevisions struct {
	uid        types.UID
	generation int64              // a new generation resets the revisions
	revisions  []replacedRevision // in the order in which they were replaced
}

type replacedRevision struct {
	revision   string
	replacedAt time.Time
}

// record records that last was replaced by the revision in the status, and reports whether the
// repository recently had the new one before.
func (r *recentRevisions) record(last string, repo *v1.ImageRepository, now time.Time) bool {
	next := conditions.Revision(repo)
	if last == "" || last == next {
		return false
	}
	repeated := false
	r.Update(client.ObjectKeyFromObject(repo), func(object objectRevisions, _ bool) objectRevisions {
		if object.uid != repo.UID || object.generation != repo.Generation {
			object = objectRevisions{uid: repo.UID, generation: repo.Generation}
		}
		object.revisions = slices.DeleteFunc(object.revisions, func(old replacedRevision) bool {
			return old.revision == last || now.Sub(old.replacedAt) > revisionTTL
		})
		repeated = slices.ContainsFunc(object.revisions, func(old replacedRevision) bool { return old.revision == next })
		object.revisions = append(object.revisions, replacedRevision{last, now})
		object.revisions = object.revisions[max(0, len(object.revisions)-maxRevisions):]
		return object
	})
	return repeated
}
