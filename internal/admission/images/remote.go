// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"

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

// Session opens a repository for one question, asks it, and closes the repository. The message
// describes the question.
type Session func(ctx context.Context, message string, ask func(context.Context, Repository) error) error

// Remote is the images of a repository.
type Remote struct {
	// Name is that of the repository.
	Name image.Name
	// Verifier verifies signatures. It is nil where the gates have no rule for them.
	Verifier Verifier
	// Session opens the repository.
	Session Session
}

var _ admission.Images = Remote{}

// Digest implements admission.Images.
func (r Remote) Digest(ctx context.Context, tag string) (string, error) {
	digest, err := ask(ctx, r, fmt.Sprintf("fetching the digest of %s:%s", r.Name, tag),
		func(ctx context.Context, repo Repository) (string, error) { return repo.Digest(ctx, tag) })
	return digest, gone(err)
}

// Exists reports whether the registry has a tag.
func (r Remote) Exists(ctx context.Context, tag string) (bool, error) {
	return ask(ctx, r, fmt.Sprintf("looking for %s:%s", r.Name, tag),
		func(ctx context.Context, repo Repository) (bool, error) { return repo.Exists(ctx, tag) })
}

// Read implements admission.Images.
func (r Remote) Read(ctx context.Context, reference string, wants admission.Wants) (admission.Fact, error) {
	fact, err := ask(ctx, r, fmt.Sprintf("reading the image %s of %s", reference, r.Name),
		func(ctx context.Context, repo Repository) (admission.Fact, error) {
			return Read(ctx, repo, reference, wants)
		})
	return fact, gone(err)
}

// Verify implements admission.Images.
func (r Remote) Verify(ctx context.Context, digest string) (string, string, error) {
	var problem string
	signer, err := ask(ctx, r, fmt.Sprintf("verifying %s@%s", r.Name, digest),
		func(ctx context.Context, repo Repository) (string, error) {
			signer, rejected, err := r.Verifier.Verify(ctx, repo, r.Name, digest)
			problem = rejected
			return signer, err
		})
	return signer, problem, err
}

// ask returns the answer to one question.
func ask[T any](ctx context.Context, r Remote, message string, do func(context.Context, Repository) (T, error)) (T, error) {
	var answer T
	err := r.Session(ctx, message, func(ctx context.Context, repo Repository) error {
		var err error
		answer, err = do(ctx, repo)
		return err
	})
	return answer, err
}

// gone makes an error be admission.ErrGone where the registry answers that it has no such image.
func gone(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		return goneError{err}
	}
	return err
}

type goneError struct{ error }

func (e goneError) Unwrap() error { return e.error }

func (goneError) Is(target error) bool { return target == admission.ErrGone }
