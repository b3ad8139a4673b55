// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
)

// RegistryReader reads an image repository in its registry.
type RegistryReader struct {
	Client *registry.Client
	Image  image.Name
	Auth   registry.AuthOptions
	// MirrorAuth returns the credentials for the image at a mirror.
	MirrorAuth func(context.Context, image.Name) (registry.AuthOptions, error)
	// Timeout limits each operation; 0 for the timeout of Client.
	Timeout time.Duration
}

// withRepository opens the repository for one operation.
func (r *RegistryReader) withRepository(ctx context.Context, do func(context.Context, *registry.Repository) error) error {
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	repo := r.Client.Open(registry.Access{
		Image:      r.Image,
		Anonymous:  r.Auth.IsAnonymous(),
		Auth:       func(context.Context) (registry.AuthOptions, error) { return r.Auth, nil },
		MirrorAuth: r.MirrorAuth,
	})
	defer repo.Close()
	return do(ctx, repo)
}

// List lists the tags.
func (r *RegistryReader) List(ctx context.Context) (explain.Listing, error) {
	l := explain.Listing{Source: explain.FromRegistry}
	err := r.withRepository(ctx, func(ctx context.Context, repo *registry.Repository) error {
		list, err := repo.List(ctx, "")
		l.Tags, l.Invalid = list.Tags, list.Invalid
		return err
	})
	return l, err
}

// Images returns the images of the repository. done is called after each operation; may be nil.
func (r *RegistryReader) Images(done func()) images.RegistryImages {
	session := func(ctx context.Context, _ string, do func(context.Context, images.Repository) error) error {
		if done != nil {
			defer done()
		}
		return r.withRepository(ctx, func(ctx context.Context, repo *registry.Repository) error { return do(ctx, repo) })
	}
	return images.RegistryImages{Name: r.Image, OpenSession: session}
}

// DockerIdentity returns the credentials of the docker configuration for the registry of img.
func DockerIdentity(ctx context.Context, img image.Name) (registry.AuthOptions, error) {
	authenticator, err := authn.Resolve(ctx, authn.DefaultKeychain, img.Repository())
	if err != nil {
		return registry.AuthOptions{}, Invalidf("the docker configuration can't be read: %w", err)
	}
	if authenticator == authn.Anonymous {
		reason := fmt.Sprintf("the docker configuration has no credentials for %s: log in with docker login", img.Host())
		return credentials.AnonymousBecause(reason), nil
	}
	config, err := authn.Authorization(ctx, authenticator)
	if err != nil {
		return registry.AuthOptions{}, Invalidf("the docker configuration has no usable credentials for %s: %w", img.Host(), err)
	}
	return registry.NewAuthOptions(img, *config, "the docker configuration"), nil
}
