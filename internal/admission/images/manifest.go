// SPDX-License-Identifier: Apache-2.0

package images

import (
	"encoding/json"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// manifest is the relevant part of a manifest or an index.
type manifest struct {
	mediaType   types.MediaType
	Manifests   []descriptor      `json:"manifests"`
	Config      *descriptor       `json:"config"`
	Annotations map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType   types.MediaType   `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Platform    *platform         `json:"platform"`
	Annotations map[string]string `json:"annotations"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

func (p *platform) normalized() string {
	if p == nil {
		return ""
	}
	return admission.Platform(p.OS, p.Architecture, p.Variant)
}

// isNamed reports whether a platform is specified, even if it is not a valid one.
func (p *platform) isNamed() bool { return p != nil && p.OS != "" && p.Architecture != "" }

func parse(m registry.Manifest) manifest {
	parsed := manifest{mediaType: types.MediaType(m.MediaType)}
	if json.Unmarshal(m.Bytes, &parsed) != nil {
		return manifest{mediaType: parsed.mediaType} // not a manifest
	}
	return parsed
}

func (m manifest) isIndex() bool { return m.mediaType.IsIndex() || m.Manifests != nil }

// attestation is the annotation by which BuildKit marks manifests that are not images
// (https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md).
const attestation = "vnd.docker.reference.type"

// images returns the descriptors of the manifests that are images.
func (m manifest) images() []descriptor {
	return slices.DeleteFunc(slices.Clone(m.Manifests), func(d descriptor) bool {
		return d.Annotations[attestation] != "" || d.Platform.isNamed() && d.Platform.normalized() == ""
	})
}

// unnamed returns the descriptors of the images without a platform, each digest once. The image
// specification makes the platform optional; skopeo and podman omit it (containers/image#911,
// moby/moby#46495).
func (m manifest) unnamed() []descriptor {
	seen := map[string]bool{}
	return slices.DeleteFunc(m.images(), func(d descriptor) bool {
		if d.Platform.isNamed() || d.MediaType != "" && !d.MediaType.IsImage() || !image.IsDigest(d.Digest) || seen[d.Digest] {
			return true
		}
		seen[d.Digest] = true
		return false
	})
}

// isReadable reports whether a configuration has a valid digest and is not too large.
func (d *descriptor) isReadable(limit int64) bool {
	return d != nil && image.IsDigest(d.Digest) && d.Size <= limit
}

// maxPlatforms is the maximum number of platforms that are returned for an image.
const maxPlatforms = 256

// platformsOf returns the sorted, distinct, non-empty platforms.
func platformsOf(texts ...string) []string {
	all := slices.DeleteFunc(texts, func(p string) bool { return p == "" })
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) == 0 {
		return nil
	}
	return all[:min(len(all), maxPlatforms)]
}
