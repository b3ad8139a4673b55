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

// listCache caches the fingerprint of the last tag list of each object. If a registry sends the
// same list again, its tags need not be decoded, filtered, sorted and compared.
type listCache struct {
	reconcile.PerObject[cachedList]
}

// cachedList is the fingerprint of a list, with the inputs and the result of the scan.
type cachedList struct {
	fingerprint registry.Fingerprint
	source      listSource
	exclusions  []string
	revision    string // of the list without the excluded tags
}

// listSource identifies the object and the image that a list belongs to.
type listSource struct {
	uid      types.UID
	image    string
	insecure bool
}

func listSourceOf(repo *v1.ImageRepository) listSource {
	return listSource{uid: repo.UID, image: repo.Spec.Image, insecure: repo.Spec.Insecure}
}

// fingerprint returns the fingerprint of the cached list if its tags have the revision, otherwise
// "".
func (c *listCache) fingerprint(repo *v1.ImageRepository, revision string) registry.Fingerprint {
	cached := c.Get(client.ObjectKeyFromObject(repo))
	if cached.source != listSourceOf(repo) || cached.revision != revision || !slices.Equal(cached.exclusions, repo.GetExclusionList()) {
		return ""
	}
	return cached.fingerprint
}

// put caches the fingerprint of the list that the repository's status describes.
func (c *listCache) put(repo *v1.ImageRepository, fingerprint registry.Fingerprint) {
	c.Update(client.ObjectKeyFromObject(repo), func(cachedList, bool) cachedList {
		return cachedList{
			fingerprint: fingerprint,
			source:      listSourceOf(repo),
			exclusions:  slices.Clone(repo.GetExclusionList()),
			revision:    repo.Status.LastScanResult.Revision,
		}
	})
}
