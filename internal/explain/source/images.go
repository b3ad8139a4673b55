// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/gating"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/inspect"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Verifier says who signed images.
type Verifier interface {
	// Fingerprint stands for the rule and its keys.
	Fingerprint() string
	// Verify says who signed the image at a digest, or else what is wrong with its
	// signatures, as what follows "the tag …". An error is neither.
	Verify(ctx context.Context, repo signature.Repository, name image.Name, digest string) (string, string, error)
}

// Verifiers makes Verifiers.
type Verifiers interface {
	// Verifier returns the one of a policy that has spec.verify. It reads Secrets.
	Verifier(ctx context.Context, policy *v1.ImagePolicy) (Verifier, error)
}

// Images looks into the images of a Remote.
type Images struct {
	*Remote
	// Verifier is nil where no signatures are checked.
	Verifier Verifier
	// Limit bounds each look, 0 for the client's own bound.
	Limit time.Duration
	// Looked is told of each look, and may be nil.
	Looked func()
}

var _ gating.Asker = &Images{}

// Digest implements gating.Asker.
func (i *Images) Digest(ctx context.Context, tag string) (string, error) {
	return look(ctx, i, func(ctx context.Context, repo *registry.Repository) (string, error) { return repo.Digest(ctx, tag) })
}

// Image implements gating.Asker.
func (i *Images) Image(ctx context.Context, reference string, wants inspect.Wants) (inspect.Image, error) {
	return look(ctx, i, func(ctx context.Context, repo *registry.Repository) (inspect.Image, error) {
		return inspect.Of(ctx, repo, reference, wants)
	})
}

// Verify implements gating.Asker.
func (i *Images) Verify(ctx context.Context, digest string) (string, string, error) {
	var problem string
	signer, err := look(ctx, i, func(ctx context.Context, repo *registry.Repository) (string, error) {
		var signer string
		var err error
		signer, problem, err = i.Verifier.Verify(ctx, repo, i.Remote.Image, digest)
		return signer, err
	})
	return signer, problem, err
}

// look looks once, within the limit.
func look[T any](ctx context.Context, i *Images, at func(context.Context, *registry.Repository) (T, error)) (T, error) {
	if i.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, i.Limit)
		defer cancel()
	}
	if i.Looked != nil {
		defer i.Looked()
	}
	repo := i.open()
	defer repo.Close()
	answer, err := at(ctx, repo)
	if errors.Is(err, registry.ErrNotFound) {
		return answer, gating.ErrGone
	}
	return answer, err
}
