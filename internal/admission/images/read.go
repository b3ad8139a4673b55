// SPDX-License-Identifier: Apache-2.0

// Package images asks registries what the gates of policies need: what tags point at, what
// images state of themselves, and who signed them. It implements admission.Images.
package images

import (
	"context"
	"encoding/json"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// Source fetches the parts of an image.
type Source interface {
	// Manifest returns what a tag or a digest points at.
	Manifest(ctx context.Context, reference string) (registry.Manifest, error)
	// Blob returns the blob of a digest, which has at most limit bytes.
	Blob(ctx context.Context, digest string, limit int64) ([]byte, error)
}

// maxConfig bounds the configuration of an image, in bytes. Most have a few kilobytes.
const maxConfig = 8 << 20

// Read reads what is wanted of the image at a tag or a digest, with as few requests as either of
// the two takes. What comes with them is in the fact, too. Errors are those of the source: what an
// image states in a form that is not understood is not stated.
func Read(ctx context.Context, source Source, reference string, wants admission.Wants) (admission.ImageInfo, error) {
	m, err := source.Manifest(ctx, reference)
	if err != nil {
		return admission.ImageInfo{}, err
	}
	parsed := parse(m)
	fact := admission.ImageInfo{Digest: m.Digest}
	stated := admission.Statements{Annotations: []string{parsed.Annotations[admission.CreatedKey]}}
	fact.Created, fact.CreatedBy = stated.Created()
	if parsed.isIndex() {
		return readIndex(ctx, &index{source: source, manifest: parsed, left: maxConfig}, fact, wants)
	}
	if !wants.Platforms && fact.Created != admission.CreatedUnread {
		return fact, nil
	}
	c, err := readConfig(ctx, source.Blob, parsed.Config, maxConfig)
	if err != nil {
		return fact, err
	}
	fact.PlatformsKnown, fact.Platforms = true, platformsOf(c.normalized())
	return created(fact, c.state(stated)), nil
}

// created returns the fact with the time that its image states, CreatedUnsaid where it states none.
func created(fact admission.ImageInfo, stated admission.Statements) admission.ImageInfo {
	if fact.Created, fact.CreatedBy = stated.Created(); fact.Created == admission.CreatedUnread {
		fact.Created = admission.CreatedUnsaid
	}
	return fact
}

// readIndex reads what is wanted of an index.
func readIndex(ctx context.Context, x *index, fact admission.ImageInfo, wants admission.Wants) (admission.ImageInfo, error) {
	var err error
	if wants.Platforms || len(x.unnamed()) == 0 {
		if fact.Platforms, err = x.platforms(ctx); err != nil {
			return fact, err
		}
		fact.PlatformsKnown = true
	}
	if !wants.Created || fact.Created != admission.CreatedUnread {
		return fact, nil
	}
	stated, err := x.stated(ctx)
	if err != nil {
		return fact, err
	}
	return created(fact, stated), nil
}

// config is what is read of a configuration.
type config struct {
	platform
	Created string `json:"created"`
	Config  struct {
		Labels map[string]string `json:"Labels"`
	} `json:"config"`
}

// state adds the statements of the configuration.
func (c config) state(stated admission.Statements) admission.Statements {
	stated.Config, stated.Label = c.Created, c.Config.Labels[admission.CreatedKey]
	return stated
}

// readConfig reads a configuration of at most limit bytes. One that is none, or is not asked
// for, has nothing in it.
func readConfig(
	ctx context.Context, read func(ctx context.Context, digest string, limit int64) ([]byte, error), d *descriptor, limit int64,
) (config, error) {
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
