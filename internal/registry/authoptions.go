// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"

	"github.com/google/go-containerregistry/pkg/authn"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
)

// AuthOptions is the identity with which a registry is accessed.
type AuthOptions = credentials.Options

// NewAuthOptions returns the identity of credentials for the registry of img.
// origin names them in messages, such as `Secret "regcred"`.
func NewAuthOptions(img image.Name, config authn.AuthConfig, origin string) AuthOptions {
	return credentials.New(img, config, origin)
}

// AuthOptionsGetter returns the identities of ImageRepositories.
type AuthOptionsGetter func(ctx context.Context, repo *v1.ImageRepository) (AuthOptions, error)

// AuthOptions returns the identity for repo's registry. It reads Secrets, so it should be
// called only before a request. It fails with an *Error.
func (f AuthOptionsGetter) AuthOptions(ctx context.Context, repo *v1.ImageRepository) (AuthOptions, error) {
	return f(ctx, repo)
}

// MirrorAuthOptions returns the identity for the image at a mirror of repo's registry. It is
// called like AuthOptions.
func (f AuthOptionsGetter) MirrorAuthOptions(ctx context.Context, repo *v1.ImageRepository, mirror image.Name) (AuthOptions, error) {
	return f(ctx, credentials.AtMirror(repo, mirror))
}

// NewAuthOptionsGetter returns an AuthOptionsGetter that uses a Resolver.
func NewAuthOptionsGetter(resolver *credentials.Resolver) AuthOptionsGetter {
	return func(ctx context.Context, repo *v1.ImageRepository) (AuthOptions, error) {
		img, err := image.Parse(repo.Spec.Image, repo.Spec.Insecure)
		if err != nil {
			return AuthOptions{}, &Error{
				Op: opCredentials, Image: repo.Spec.Image, reason: v1.ImageURLInvalidReason, detail: err.Error(), err: err,
			}
		}
		auth, err := resolver.Resolve(ctx, repo, img)
		if err != nil {
			return AuthOptions{}, operation{verb: opCredentials, image: img}.fail(err)
		}
		return auth, nil
	}
}
