// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/outcome"
)

const (
	// flickerTime is for how long a list counts as told after it was replaced.
	flickerTime = time.Hour
	// flickerLists is how many lists of an object are remembered.
	flickerLists = 8
)

// pastLists remembers the revisions that repositories had not long ago. A
// registry whose replicas differ sends the same few lists in turn, which are
// worth one event each, and not one for each scan.
type pastLists struct {
	perObject[pastOfObject]
}

type pastOfObject struct {
	uid        types.UID
	generation int64          // of the spec, whose changes are news
	revisions  []pastRevision // the one that was replaced last comes last
}

type pastRevision struct {
	revision string
	replaced time.Time
}

// replace remembers that the repository's last revision is replaced by that of
// its status, and reports whether it had the new one not long ago.
func (p *pastLists) replace(last string, repo *v1.ImageRepository, now time.Time) bool {
	next := outcome.Revision(repo)
	if last == "" || last == next {
		return false
	}
	again := false
	p.update(client.ObjectKeyFromObject(repo), func(past pastOfObject, _ bool) pastOfObject {
		if past.uid != repo.UID || past.generation != repo.Generation {
			past = pastOfObject{uid: repo.UID, generation: repo.Generation}
		}
		past.revisions = slices.DeleteFunc(past.revisions, func(r pastRevision) bool {
			return r.revision == last || now.Sub(r.replaced) > flickerTime
		})
		again = slices.ContainsFunc(past.revisions, func(r pastRevision) bool { return r.revision == next })
		past.revisions = append(past.revisions, pastRevision{last, now})
		past.revisions = past.revisions[max(0, len(past.revisions)-flickerLists):]
		return past
	})
	return again
}
