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

// maxUnnamed is how many images of an index are read for their platform, with two requests
// each. Indexes that name no platforms have one image as a rule.
const maxUnnamed = 16

// index reads images of an index. An image that the registry does not have states nothing:
// indexes are copied in part.
type index struct {
	manifest
	source Source
	// left is how many bytes all configurations together may still have.
	left int64
}

// platforms returns the platforms that the index names, and those of the images whose
// platform it does not name.
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

// stated returns when the first image of the index says that it was created. All were built
// together, or else the index states more than any of them.
func (x *index) stated(ctx context.Context) (admission.Statements, error) {
	images := x.images()
	if len(images) == 0 {
		return admission.Statements{}, nil
	}
	first := images[0]
	stated := admission.Statements{Annotations: []string{first.Annotations[admission.CreatedKey]}}
	if _, by := stated.Created(); by != admission.CreatedByNothing || !image.IsDigest(first.Digest) {
		return stated, nil
	}
	m, err := x.image(ctx, first.Digest)
	if err != nil {
		return stated, err
	}
	stated.Annotations = append(stated.Annotations, m.Annotations[admission.CreatedKey])
	if _, by := stated.Created(); by != admission.CreatedByNothing {
		return stated, nil
	}
	c, err := x.config(ctx, first.Digest, m)
	return c.state(stated), err
}

// image returns the manifest of an image of the index.
func (x *index) image(ctx context.Context, digest string) (manifest, error) {
	m, err := x.source.Manifest(ctx, digest)
	return parse(m), presence(digest, err)
}

// config returns the configuration of an image of the index.
func (x *index) config(ctx context.Context, digest string, m manifest) (config, error) {
	if m.isIndex() {
		return config{}, nil
	}
	c, err := readConfig(ctx, x.blob, m.Config, x.left)
	return c, presence(digest, err)
}

// blob reads a configuration, and takes its bytes off those that are left.
func (x *index) blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	blob, err := x.source.Blob(ctx, digest, limit)
	x.left -= int64(len(blob))
	return blob, err
}

// presence returns an error but the one that the registry has no such part.
func presence(digest string, err error) error {
	if err == nil || errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("the image %s of the index: %w", digest, err)
}
