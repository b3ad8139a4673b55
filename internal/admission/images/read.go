// SPDX-License-Identifier: Apache-2.0

// Package images reads from registries what the gates of policies require: digests, platforms,
// creation times and signatures. It implements admission.Images.
package images

import (
	"context"
	"encoding/json"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// Source fetches the parts of an image.
type Source interface {
	// Manifest returns the manifest at a tag or digest.
	Manifest(ctx context.Context, reference string) (registry.Manifest, error)
	// Blob returns the blob with a digest. It fails if the blob exceeds limit bytes.
	Blob(ctx context.Context, digest string, limit int64) ([]byte, error)
}

// maxConfig is the maximum size of an image configuration in bytes. Most have a few kilobytes.
const maxConfig = 8 << 20

// Read reads the requested details of the image at a tag or digest with as few requests as
// possible, and returns whatever else these responses contain. It returns only errors of the
// source: malformed fields are ignored.
func Read(ctx context.Context, source Source, reference string, wants admission.ReadOptions) (admission.ImageInfo, error) {
	m, err := source.Manifest(ctx, reference)
	if err != nil {
		return admission.ImageInfo{}, err
	}
	parsed := parse(m)
	origin := originOf(parsed.Annotations)
	info := admission.ImageInfo{Digest: m.Digest}.WithOrigin(origin)
	stated := admission.Statements{Annotations: []string{parsed.Annotations[admission.CreatedKey]}}
	info.Created, info.CreatedBy = stated.Created()
	if parsed.isIndex() {
		x := &index{source: source, manifest: parsed, remaining: maxConfig, origin: origin}
		info, err = readIndex(ctx, x, info, wants)
		return info.WithOrigin(x.origin), err
	}
	if !wants.Platforms && info.Created != admission.CreatedUnread {
		return info, nil
	}
	c, err := readConfig(ctx, source.Blob, parsed.Config, maxConfig)
	if err != nil {
		return info, err
	}
	info.PlatformsKnown, info.Platforms = true, platformsOf(c.normalized())
	info = info.WithOrigin(origin.Or(originOf(c.Config.Labels)))
	return withCreated(info, c.state(stated)), nil
}

// withCreated sets the creation time that the image states, or CreatedUnstated if it states none.
func withCreated(info admission.ImageInfo, stated admission.Statements) admission.ImageInfo {
	if info.Created, info.CreatedBy = stated.Created(); info.Created == admission.CreatedUnread {
		info.Created = admission.CreatedUnstated
	}
	return info
}

// readIndex reads the requested details of an index.
func readIndex(ctx context.Context, x *index, info admission.ImageInfo, wants admission.ReadOptions) (admission.ImageInfo, error) {
	var err error
	if wants.Platforms || len(x.unnamed()) == 0 {
		if info.Platforms, err = x.platforms(ctx); err != nil {
			return info, err
		}
		info.PlatformsKnown = true
	}
	if !wants.Created || info.Created != admission.CreatedUnread {
		return info, nil
	}
	stated, err := x.stated(ctx)
	if err != nil {
		return info, err
	}
	return withCreated(info, stated), nil
}

// config is the relevant part of an image configuration.
type config struct {
	platform
	Created string `json:"created"`
	Config  struct {
		Labels map[string]string `json:"Labels"`
	} `json:"config"`
}

// state adds the creation times that the configuration states.
func (c config) state(stated admission.Statements) admission.Statements {
	stated.Config, stated.Label = c.Created, c.Config.Labels[admission.CreatedKey]
	return stated
}

// readConfig reads a configuration of at most limit bytes. It returns an empty one if d is not
// readable or not an image configuration.
func readConfig(
	ctx context.Context, read func(ctx context.Context, digest string, limit int64) ([]byte, error), d *descriptor, limit int64,
) (config, error) {
	var c config
	if !d.isReadable(limit) {
		return c, nil
	}
	blob, err := read(ctx, d.Digest, limit)
	if err == nil {
		_ = json.Unmarshal(blob, &c) // other artifacts have other configurations without a platform
	}
	return c, err
}
