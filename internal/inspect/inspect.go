/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

// Package inspect reads what an image says of itself: its platforms, and when it was
// created. It asks a Source for as little as that takes.
package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fluxcd/image-reflector-controller/internal/candidate"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// Source fetches the parts of an image.
type Source interface {
	// Manifest returns what a tag or a digest points at.
	Manifest(ctx context.Context, reference string) (registry.Manifest, error)
	// Blob returns the blob of a digest, which has at most limit bytes.
	Blob(ctx context.Context, digest string, limit int64) ([]byte, error)
}

// Wants says what is asked about an image.
type Wants struct {
	Platforms, Created bool
}

// Image is what an image says of itself.
type Image struct {
	// Digest is that of its manifest or index.
	Digest string
	// Read says that the platforms are known.
	Read bool
	// Platforms are those that it provides, each once and in its one spelling.
	Platforms []string
	// Created is when it was created, as a candidate.Fact has it.
	Created int64
}

// maxConfig bounds the configuration of an image. Most have a few kilobytes.
const maxConfig = 8 << 20

// maxPlatforms is how many platforms of an image are told.
const maxPlatforms = 256

// createdAnnotation is that of the OCI image specification.
const createdAnnotation = "org.opencontainers.image.created"

// Of reads what is wanted of the image at a tag or a digest. What comes along
// without another request is told, too. Errors are those of the source: whatever
// an image says of itself that can't be understood is not said.
func Of(ctx context.Context, source Source, reference string, wants Wants) (Image, error) {
	m, err := source.Manifest(ctx, reference)
	if err != nil {
		return Image{}, err
	}
	parsed := parse(m)
	img := Image{Digest: m.Digest, Created: created(parsed.Annotations[createdAnnotation])}
	if parsed.isIndex() {
		img.Read, img.Platforms = true, parsed.platforms()
		if wants.Created && img.Created == candidate.CreatedUnread {
			img.Created, err = createdOfPart(ctx, source, parsed)
		}
		return img, err
	}
	if wants.Platforms || img.Created == candidate.CreatedUnread {
		err = img.readConfig(ctx, source, parsed)
	}
	return img, err
}

// manifest is the part of a manifest or an index that matters here.
type manifest struct {
	mediaType   types.MediaType
	Manifests   []descriptor      `json:"manifests"`
	Config      *descriptor       `json:"config"`
	Annotations map[string]string `json:"annotations"`
}

type descriptor struct {
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
	return candidate.Platform(p.OS, p.Architecture, p.Variant)
}

func parse(m registry.Manifest) manifest {
	parsed := manifest{mediaType: types.MediaType(m.MediaType)}
	if json.Unmarshal(m.Bytes, &parsed) != nil {
		return manifest{mediaType: parsed.mediaType} // JSON of other types says nothing
	}
	return parsed
}

func (m manifest) isIndex() bool { return m.mediaType.IsIndex() || m.Manifests != nil }

// attestation is an annotation that BuildKit gives to what is no image.
const attestation = "vnd.docker.reference.type"

// images returns the descriptors of the manifests that are images.
func (m manifest) images() []descriptor {
	return slices.DeleteFunc(slices.Clone(m.Manifests), func(d descriptor) bool {
		return d.Annotations[attestation] != "" || d.Platform != nil && d.Platform.normalized() == ""
	})
}

func (m manifest) platforms() []string {
	var all []string
	for _, d := range m.images() {
		if p := d.Platform.normalized(); p != "" {
			all = append(all, p)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxPlatforms)]
}

// createdOfPart reads when the first image of an index was created. All were built
// together, or else the index says more than any of them. Of an index that was copied
// in part the first one may not be there.
func createdOfPart(ctx context.Context, source Source, index manifest) (int64, error) {
	images := index.images()
	if len(images) == 0 || !image.IsDigest(images[0].Digest) {
		return candidate.CreatedUnsaid, nil
	}
	m, err := source.Manifest(ctx, images[0].Digest)
	if errors.Is(err, registry.ErrNotFound) {
		return candidate.CreatedUnsaid, nil
	}
	if err != nil {
		return candidate.CreatedUnread, fmt.Errorf("the first image of the index: %w", err)
	}
	parsed := parse(m)
	if at := created(parsed.Annotations[createdAnnotation]); at != candidate.CreatedUnread || parsed.isIndex() {
		return orUnsaid(at), nil
	}
	var part Image
	err = part.readConfig(ctx, source, parsed)
	return part.Created, err
}

// isReadable reports whether a configuration is one that is asked for. Another one says
// nothing, for good, whatever the registry would answer.
func (d *descriptor) isReadable() bool {
	return d != nil && image.IsDigest(d.Digest) && d.Size <= maxConfig
}

// readConfig reads what the configuration of an image says.
func (i *Image) readConfig(ctx context.Context, source Source, m manifest) error {
	var config struct {
		platform
		Created string `json:"created"`
	}
	if m.Config.isReadable() {
		blob, err := source.Blob(ctx, m.Config.Digest, maxConfig)
		if err != nil {
			return err
		}
		_ = json.Unmarshal(blob, &config) // other artifacts have other configurations, and no platform
	}
	i.Read = true
	if p := config.normalized(); p != "" {
		i.Platforms = []string{p}
	}
	if i.Created == candidate.CreatedUnread {
		i.Created = orUnsaid(created(config.Created))
	}
	return nil
}

// created returns the time that an image names, CreatedUnread where it names none
// in that place that could be one.
func created(text string) int64 {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.Unix() <= 0 {
		return candidate.CreatedUnread
	}
	return at.Unix()
}

func orUnsaid(at int64) int64 {
	if at == candidate.CreatedUnread {
		return candidate.CreatedUnsaid
	}
	return at
}
