// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// seenLists remembers the tag lists that were seen last, by their fingerprints. A
// registry that sends the same list again tells nothing new, and its tags need
// not be read, filtered, sorted and compared to know that.
type seenLists struct {
	perObject[seenList]
}

// seenList is a list, and what was made of it.
type seenList struct {
	fingerprint registry.Fingerprint
	from        listOrigin
	exclusions  []string
	revision    string // of the tags that were kept of it
}

// listOrigin is where a list comes from.
type listOrigin struct {
	uid      types.UID
	image    string
	insecure bool
}

func originOf(repo *v1.ImageRepository) listOrigin {
	return listOrigin{uid: repo.UID, image: repo.Spec.Image, insecure: repo.Spec.Insecure}
}

// known returns the fingerprint of the list whose tags are those with a revision, that
// of no list where none is known.
func (s *seenLists) known(repo *v1.ImageRepository, revision string) registry.Fingerprint {
	seen := s.get(client.ObjectKeyFromObject(repo))
	if seen.from != originOf(repo) || seen.revision != revision || !slices.Equal(seen.exclusions, repo.GetExclusionList()) {
		return ""
	}
	return seen.fingerprint
}

// note remembers the list that the repository's status tells of.
func (s *seenLists) note(repo *v1.ImageRepository, fingerprint registry.Fingerprint) {
	s.update(client.ObjectKeyFromObject(repo), func(seenList, bool) seenList {
		return seenList{
			fingerprint: fingerprint,
			from:        originOf(repo),
			exclusions:  slices.Clone(repo.GetExclusionList()),
			revision:    repo.Status.LastScanResult.Revision,
		}
	})
}
