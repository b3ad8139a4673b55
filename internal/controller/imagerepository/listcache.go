// SPDX-License-Identifier: Apache-2.0

package imagerepository

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// listCache remembers the tag lists that were seen last, by their fingerprints. A
// registry that sends the same list again tells nothing new, and its tags need
// not be read, filtered, sorted and compared to know that.
type listCache struct {
	reconcile.PerObject[cachedList]
}

// cachedList is a list, and what was made of it.
type cachedList struct {
	fingerprint registry.Fingerprint
	source      listSource
	exclusions  []string
	revision    string // of the tags that were kept of it
}

// listSource is where a list comes from.
type listSource struct {
	uid      types.UID
	image    string
	insecure bool
}

func listSourceOf(repo *v1.ImageRepository) listSource {
	return listSource{uid: repo.UID, image: repo.Spec.Image, insecure: repo.Spec.Insecure}
}

// knownFingerprint returns the fingerprint of the list whose tags are those with a revision, that
// of no list where none is known.
func (s *listCache) fingerprint(repo *v1.ImageRepository, revision string) registry.Fingerprint {
	seen := s.Get(client.ObjectKeyFromObject(repo))
	if seen.source != listSourceOf(repo) || seen.revision != revision || !slices.Equal(seen.exclusions, repo.GetExclusionList()) {
		return ""
	}
	return seen.fingerprint
}

// record remembers the list that the repository's status tells of.
func (s *listCache) put(repo *v1.ImageRepository, fingerprint registry.Fingerprint) {
	s.Update(client.ObjectKeyFromObject(repo), func(cachedList, bool) cachedList {
		return cachedList{
			fingerprint: fingerprint,
			source:      listSourceOf(repo),
			exclusions:  slices.Clone(repo.GetExclusionList()),
			revision:    repo.Status.LastScanResult.Revision,
		}
	})
}
