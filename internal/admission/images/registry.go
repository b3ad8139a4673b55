// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// Repository is an image repository in a registry. A *registry.Repository is one.
type Repository interface {
	signature.Repository
	Digest(ctx context.Context, tag string) (string, error)
	Exists(ctx context.Context, tag string) (bool, error)
}

// OpenSession opens a repository for one request, calls do, and closes the repository. The message
// describes the request.
type OpenSession func(ctx context.Context, message string, do func(context.Context, Repository) error) error

// RegistryImages implements admission.Images for a repository in a registry.
type RegistryImages struct {
	// Name is the repository's name.
	Name image.Name
	// Verifier verifies signatures. It is nil if the gates have no verification rule.
	Verifier Verifier
	// OpenSession opens the repository for a request.
	OpenSession OpenSession
}

var _ admission.Images = RegistryImages{}

// Digest implements admission.Images.
func (r RegistryImages) Digest(ctx context.Context, tag string) (string, error) {
	digest, err := withSession(ctx, r, fmt.Sprintf("fetching the digest of %s:%s", r.Name, tag),
		func(ctx context.Context, repo Repository) (string, error) { return repo.Digest(ctx, tag) })
	return digest, notFound(err)
}

// Exists reports whether the registry has a tag.
func (r RegistryImages) Exists(ctx context.Context, tag string) (bool, error) {
	return withSession(ctx, r, fmt.Sprintf("looking for %s:%s", r.Name, tag),
		func(ctx context.Context, repo Repository) (bool, error) { return repo.Exists(ctx, tag) })
}

// Read implements admission.Images.
func (r RegistryImages) Read(ctx context.Context, reference string, wants admission.ReadOptions) (admission.ImageInfo, error) {
	info, err := withSession(ctx, r, fmt.Sprintf("reading the image %s of %s", reference, r.Name),
		func(ctx context.Context, repo Repository) (admission.ImageInfo, error) {
			return Read(ctx, repo, reference, wants)
		})
	return info, notFound(err)
}

// Verify implements admission.Images.
func (r RegistryImages) Verify(ctx context.Context, digest string, now time.Time) (string, string, error) {
	var problem string
	signer, err := withSession(ctx, r, fmt.Sprintf("verifying %s@%s", r.Name, digest),
		func(ctx context.Context, repo Repository) (string, error) {
			signer, rejected, err := r.Verifier.Verify(ctx, repo, r.Name, digest, now)
			problem = rejected
			return signer, err
		})
	return signer, problem, err
}

// withSession returns the result of one request.
func withSession[T any](ctx context.Context, r RegistryImages, message string, do func(context.Context, Repository) (T, error)) (T, error) {
	var result T
	err := r.OpenSession(ctx, message, func(ctx context.Context, repo Repository) error {
		var err error
		result, err = do(ctx, repo)
		return err
	})
	return result, err
}

// notFound wraps an error as admission.ErrNotFound if the registry does not have the image.
func notFound(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return notFoundError{err}
	}
	return err
}

type notFoundError struct{ error }

func (e notFoundError) Unwrap() error { return e.error }

func (notFoundError) Is(target error) bool { return target == admission.ErrNotFound }
