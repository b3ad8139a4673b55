// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
)

// Remote is an image repository in its registry.
type Remote struct {
	Client *registry.Client
	Image  image.Name
	Auth   registry.AuthOptions
}

// open opens the repository. It must be closed.
func (r *Remote) open() *registry.Repository {
	return r.Client.Open(registry.Access{
		Image:     r.Image,
		Anonymous: r.Auth.IsAnonymous(),
		Auth:      func(context.Context) (registry.AuthOptions, error) { return r.Auth, nil },
	})
}

// List lists the tags.
func (r *Remote) List(ctx context.Context) (explain.Listing, error) {
	repo := r.open()
	defer repo.Close()
	list, err := repo.List(ctx, "")
	return explain.Listing{Source: explain.FromRegistry, Tags: list.Tags, Invalid: list.Invalid}, err
}

// Digest returns the digest of a tag.
func (r *Remote) Digest(ctx context.Context, tag string) (string, error) {
	repo := r.open()
	defer repo.Close()
	return repo.Digest(ctx, tag)
}

// Exists reports whether the registry has a tag.
func (r *Remote) Exists(ctx context.Context, tag string) (bool, error) {
	repo := r.open()
	defer repo.Close()
	return repo.Exists(ctx, tag)
}

// DockerIdentity returns the identity of whoever runs the command: what docker
// would log in with.
func DockerIdentity(ctx context.Context, img image.Name) (registry.AuthOptions, error) {
	authenticator, err := authn.Resolve(ctx, authn.DefaultKeychain, img.Repository())
	if err != nil {
		return registry.AuthOptions{}, Invalidf("the docker configuration can't be read: %w", err)
	}
	if authenticator == authn.Anonymous {
		why := fmt.Sprintf("the docker configuration has no credentials for %s: log in with docker login", img.Host())
		return credentials.AnonymousBecause(why), nil
	}
	config, err := authn.Authorization(ctx, authenticator)
	if err != nil {
		return registry.AuthOptions{}, Invalidf("the docker configuration has no usable credentials for %s: %w", img.Host(), err)
	}
	return registry.NewAuthOptions(img, *config, "the docker configuration"), nil
}
