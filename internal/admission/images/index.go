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

// part is an image of an index. Its configuration is nil where it was not read.
type part struct {
	manifest
	config *config
}

// parts reads images of an index, each manifest and each configuration once. An image that the
// registry does not have states nothing: indexes are copied in part.
type parts struct {
	source Source
	index  manifest
	read   map[string]*part
	// left is how many bytes all configurations together may still have.
	left int64
}

// platforms returns the platforms that the index names, and those of the images whose
// platform it does not name.
func (p *parts) platforms(ctx context.Context) ([]string, error) {
	var all []string
	for _, d := range p.index.images() {
		all = append(all, d.Platform.normalized())
	}
	unnamed := p.index.unnamed()
	for _, d := range unnamed[:min(len(unnamed), maxUnnamed)] {
		c, err := p.config(ctx, d.Digest)
		if err != nil {
			return nil, err
		}
		all = append(all, c.normalized())
	}
	return platformsOf(all...), nil
}

// stated returns when the first image of the index says that it was created. All were built
// together, or else the index states more than any of them.
func (p *parts) stated(ctx context.Context) (admission.Statements, error) {
	images := p.index.images()
	if len(images) == 0 {
		return admission.Statements{}, nil
	}
	first := images[0]
	stated := admission.Statements{Annotations: []string{first.Annotations[admission.CreatedKey]}}
	if _, by := stated.Created(); by != admission.CreatedByNothing || !image.IsDigest(first.Digest) {
		return stated, nil
	}
	m, err := p.part(ctx, first.Digest)
	if err != nil {
		return stated, err
	}
	stated.Annotations = append(stated.Annotations, m.Annotations[admission.CreatedKey])
	if _, by := stated.Created(); by != admission.CreatedByNothing {
		return stated, nil
	}
	c, err := p.config(ctx, first.Digest)
	return c.state(stated), err
}

// part returns an image of the index with its manifest.
func (p *parts) part(ctx context.Context, digest string) (*part, error) {
	if known := p.read[digest]; known != nil {
		return known, nil
	}
	m, err := p.source.Manifest(ctx, digest)
	if err = presence(digest, err); err != nil {
		return nil, err
	}
	if p.read == nil {
		p.read = map[string]*part{}
	}
	p.read[digest] = &part{manifest: parse(m)}
	return p.read[digest], nil
}

// config returns the configuration of an image of the index.
func (p *parts) config(ctx context.Context, digest string) (config, error) {
	of, err := p.part(ctx, digest)
	if err != nil || of.isIndex() {
		return config{}, err
	}
	if of.config == nil {
		c, err := readConfig(ctx, p.blob, of.Config, p.left)
		if err = presence(digest, err); err != nil {
			return config{}, err
		}
		of.config = &c
	}
	return *of.config, nil
}

// blob reads a configuration, and takes its bytes off those that are left.
func (p *parts) blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	blob, err := p.source.Blob(ctx, digest, limit)
	p.left -= int64(len(blob))
	return blob, err
}

// presence returns an error but the one that the registry has no such part.
func presence(digest string, err error) error {
	if err == nil || errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("the image %s of the index: %w", digest, err)
}
