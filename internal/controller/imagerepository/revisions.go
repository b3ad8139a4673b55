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
	// revisionTTL is for how long a list counts as told after it was replaced.
	revisionTTL = time.Hour
	// maxRevisions is how many lists of an object are remembered.
	maxRevisions = 8
)

// recentRevisions remembers the revisions that repositories had not long ago. A
// registry whose replicas differ sends the same few lists in turn, which are
// worth one event each, and not one for each scan.
type recentRevisions struct {
	reconcile.PerObject[objectRevisions]
}

type objectRevisions struct {
	uid        types.UID
	generation int64              // of the spec, whose changes are news
	revisions  []replacedRevision // the one that was replaced last comes last
}

type replacedRevision struct {
	revision   string
	replacedAt time.Time
}

// record remembers that the repository's last revision is replaced by that of
// its status, and reports whether it had the new one not long ago.
func (p *recentRevisions) record(last string, repo *v1.ImageRepository, now time.Time) bool {
	next := conditions.Revision(repo)
	if last == "" || last == next {
		return false
	}
	again := false
	p.Update(client.ObjectKeyFromObject(repo), func(past objectRevisions, _ bool) objectRevisions {
		if past.uid != repo.UID || past.generation != repo.Generation {
			past = objectRevisions{uid: repo.UID, generation: repo.Generation}
		}
		past.revisions = slices.DeleteFunc(past.revisions, func(r replacedRevision) bool {
			return r.revision == last || now.Sub(r.replacedAt) > revisionTTL
		})
		again = slices.ContainsFunc(past.revisions, func(r replacedRevision) bool { return r.revision == next })
		past.revisions = append(past.revisions, replacedRevision{last, now})
		past.revisions = past.revisions[max(0, len(past.revisions)-maxRevisions):]
		return past
	})
	return again
}
