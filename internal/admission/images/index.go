// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// maxUnnamed is the maximum number of images of an index that are read for their platform, with two
// requests each. Indexes without platforms usually contain one image.
const maxUnnamed = 16

// index reads images of an index. Images that the registry does not have are skipped, because
// indexes may be copied partially.
type index struct {
	manifest
	source Source
	// remaining is the number of bytes that all further configurations may have.
	remaining int64
	// origin is the first one that a part states: the index, or one of its images that was read.
	origin admission.Origin
}

// platforms returns the platforms in the index, and those of the images without one in the index.
func (x *index) platforms(ctx context.Context) ([]string, error) {
	var all []string
	for _, d := range x.images() {
		all = append(all, d.Platform.normalized())
	}
	unnamed := x.unnamed()
	for _, d := range unnamed[:min(len(unnamed), maxUnnamed)] {
		m, err := x.image(ctx, d.Digest)
		if err != nil {
			return nil, err
		}
		c, err := x.config(ctx, d.Digest, m)
		if err != nil {
			return nil, err
		}
		all = append(all, c.normalized())
	}
	return platformsOf(all...), nil
}

// stated returns the creation times that the first image of the index states. The images of an
// index are usually built together.
func (x *index) stated(ctx context.Context) (admission.Statements, error) {
	images := x.images()
	if len(images) == 0 {
		return admission.Statements{}, nil
	}
	first := images[0]
	x.note(first.Annotations)
	stated := admission.Statements{Annotations: []string{first.Annotations[admission.CreatedKey]}}
	if _, by := stated.Created(); by != admission.CreatedByUnknown || !image.IsDigest(first.Digest) {
		return stated, nil
	}
	m, err := x.image(ctx, first.Digest)
	if err != nil {
		return stated, err
	}
	stated.Annotations = append(stated.Annotations, m.Annotations[admission.CreatedKey])
	if _, by := stated.Created(); by != admission.CreatedByUnknown {
		return stated, nil
	}
	c, err := x.config(ctx, first.Digest, m)
	return c.state(stated), err
}

// image returns the manifest of an image.
func (x *index) image(ctx context.Context, digest string) (manifest, error) {
	m, err := x.source.Manifest(ctx, digest)
	parsed := parse(m)
	x.note(parsed.Annotations)
	return parsed, ignoreNotFound(digest, err)
}

// note records the origin that annotations or labels state, unless one is recorded already.
func (x *index) note(stated map[string]string) { x.origin = x.origin.Or(originOf(stated)) }

// config returns the configuration of an image.
func (x *index) config(ctx context.Context, digest string, m manifest) (config, error) {
	if m.isIndex() {
		return config{}, nil
	}
	c, err := readConfig(ctx, x.blob, m.Config, x.remaining)
	x.note(c.Config.Labels)
	return c, ignoreNotFound(digest, err)
}

// blob reads a configuration and deducts its size from the limit.
func (x *index) blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	blob, err := x.source.Blob(ctx, digest, limit)
	x.remaining -= int64(len(blob))
	return blob, err
}

// ignoreNotFound ignores the error of a part that the registry does not have.
func ignoreNotFound(digest string, err error) error {
	if err == nil || errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("the image %s of the index: %w", digest, err)
}
