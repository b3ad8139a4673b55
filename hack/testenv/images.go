// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image returns a small image with one file of the given content. The same content always
// results in the same digest.
func Image(content string) (v1.Image, error) {
	return imageFor(content, v1.Platform{OS: "linux", Architecture: "amd64"})
}

// Index returns an index with such an image for each architecture.
func Index(content string, architectures ...string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, architecture := range architectures {
		platform := v1.Platform{OS: "linux", Architecture: architecture}
		image, err := imageFor(content, platform)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &platform},
		})
	}
	return index, nil
}

// Attestation returns the manifest for an attestation tag of cosign, with one envelope. It does not
// annotate the predicate type.
func Attestation(envelope []byte) (v1.Image, error) {
	layer := static.NewLayer(envelope, "application/vnd.dsse.envelope.v1+json")
	return mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layer)
}

func imageFor(content string, platform v1.Platform) (v1.Image, error) {
	file := fmt.Appendf(nil, "%s\n%s/%s\n", content, platform.OS, platform.Architecture)
	layer, err := crane.Layer(map[string][]byte{"content.txt": file})
	if err != nil {
		return nil, err
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Created: v1.Time{Time: time.Unix(0, 0).UTC()}, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	image = mutate.ConfigMediaType(mutate.MediaType(image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return mutate.AppendLayers(image, layer)
}
