// SPDX-License-Identifier: Apache-2.0

// Package inspect reads what an image says of itself: its platforms, and when it was
// created. It asks a Source for as little as that takes.
package inspect

import (
	"context"
	"encoding/json"

	"github.com/fluxcd/image-reflector-controller/internal/candidate"
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
	// Created is when it was created, and CreatedBy the source of that, as a
	// candidate.Fact has them.
	Created   int64
	CreatedBy candidate.CreatedBy
}

// maxConfig bounds the configuration of an image, in bytes. Most have a few kilobytes.
const maxConfig = 8 << 20

// Of reads what is wanted of the image at a tag or a digest. What comes along
// without another request is told, too. Errors are those of the source: whatever
// an image says of itself that can't be understood is not said.
func Of(ctx context.Context, source Source, reference string, wants Wants) (Image, error) {
	m, err := source.Manifest(ctx, reference)
	if err != nil {
		return Image{}, err
	}
	parsed := parse(m)
	img := Image{Digest: m.Digest}
	stated := candidate.Statements{Annotations: []string{parsed.Annotations[candidate.CreatedKey]}}
	img.Created, img.CreatedBy = stated.Created()
	if parsed.isIndex() {
		err = img.readIndex(ctx, &parts{source: source, index: parsed, left: maxConfig}, wants)
		return img, err
	}
	if !wants.Platforms && img.Created != candidate.CreatedUnread {
		return img, nil
	}
	c, err := readConfig(ctx, source.Blob, parsed.Config, maxConfig)
	if err != nil {
		return img, err
	}
	img.Read, img.Platforms = true, platformsOf(c.normalized())
	img.created(c.state(stated))
	return img, nil
}

// created takes over the time that an image states, CreatedUnsaid where it states none.
func (i *Image) created(stated candidate.Statements) {
	if i.Created, i.CreatedBy = stated.Created(); i.Created == candidate.CreatedUnread {
		i.Created = candidate.CreatedUnsaid
	}
}

// readIndex reads what is wanted of an index.
func (i *Image) readIndex(ctx context.Context, p *parts, wants Wants) error {
	var err error
	if wants.Platforms || len(p.index.unnamed()) == 0 {
		if i.Platforms, err = p.platforms(ctx); err != nil {
			return err
		}
		i.Read = true
	}
	if !wants.Created || i.Created != candidate.CreatedUnread {
		return nil
	}
	stated, err := p.stated(ctx)
	if err == nil {
		i.created(stated)
	}
	return err
}

// config is the part of a configuration that matters here.
type config struct {
	platform
	Created string `json:"created"`
	Config  struct {
		Labels map[string]string `json:"Labels"`
	} `json:"config"`
}

// state adds the statements of the configuration.
func (c config) state(stated candidate.Statements) candidate.Statements {
	stated.Config, stated.Label = c.Created, c.Config.Labels[candidate.CreatedKey]
	return stated
}

// blobReader is Source.Blob.
type blobReader func(ctx context.Context, digest string, limit int64) ([]byte, error)

// readConfig reads a configuration of at most limit bytes. One that is none, or is not asked
// for, has nothing in it.
func readConfig(ctx context.Context, read blobReader, d *descriptor, limit int64) (config, error) {
	var c config
	if !d.isReadable(limit) {
		return c, nil
	}
	blob, err := read(ctx, d.Digest, limit)
	if err == nil {
		_ = json.Unmarshal(blob, &c) // other artifacts have other configurations, and no platform
	}
	return c, err
}
