// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/image-reflector-controller/internal/gating"
	"github.com/fluxcd/image-reflector-controller/internal/inspect"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

var _ gating.Asker = &remoteTags{}

// Digest implements gating.Asker.
func (r *remoteTags) Digest(ctx context.Context, tag string) (string, error) {
	digest, err := r.digest(ctx, tag)
	return digest, gone(err)
}

// Image implements gating.Asker.
func (r *remoteTags) Image(ctx context.Context, reference string, wants inspect.Wants) (inspect.Image, error) {
	img, err := ask(ctx, r, r.reading(reference), func(ctx context.Context, repo Repository) (inspect.Image, error) {
		return inspect.Of(ctx, repo, reference, wants)
	})
	return img, gone(err)
}

// Verify implements gating.Asker.
func (r *remoteTags) Verify(ctx context.Context, digest string) (string, string, error) {
	type verdict struct{ signer, problem string }
	message := fmt.Sprintf("verifying %s@%s", r.from.name, digest)
	v, err := ask(ctx, r, message, func(ctx context.Context, repo Repository) (verdict, error) {
		signer, problem, err := r.verifier.Verify(ctx, repo, r.from.name, digest)
		return verdict{signer, problem}, err
	})
	return v.signer, v.problem, err
}

func (r *remoteTags) reading(reference string) string {
	return fmt.Sprintf("reading the image %s of %s", reference, r.from.name)
}

// gone is gating.ErrGone where the registry says that it has no such image.
func gone(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return gating.ErrGone
	}
	return err
}
