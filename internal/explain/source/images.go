/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package source

import (
	"context"
	"errors"
	"net/http"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/gating"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/inspect"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// Verifier says who signed images.
type Verifier interface {
	// Fingerprint stands for the rule and its keys.
	Fingerprint() string
	// Verify says who signed the image at a digest, or else what is wrong with its
	// signatures, as what follows "the tag …". An error is neither.
	Verify(ctx context.Context, name image.Name, digest string, auth registry.AuthOptions) (string, string, error)
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

// Digest implements gating.Asker. A HEAD that answers 404 does not tell a registry
// that has no such image from somebody else on the way: another request does.
func (i *Images) Digest(ctx context.Context, tag string) (string, error) {
	return look(ctx, i, func(ctx context.Context) (string, error) {
		digest, err := i.Remote.Digest(ctx, tag)
		if failure, ok := errors.AsType[*registry.Error](err); ok && failure.StatusCode == http.StatusNotFound {
			m, err := i.Manifest(ctx, tag)
			return m.Digest, err
		}
		return digest, err
	})
}

// Image implements gating.Asker.
func (i *Images) Image(ctx context.Context, reference string, wants inspect.Wants) (inspect.Image, error) {
	return look(ctx, i, func(ctx context.Context) (inspect.Image, error) { return inspect.Of(ctx, i, reference, wants) })
}

// Verify implements gating.Asker.
func (i *Images) Verify(ctx context.Context, digest string) (string, string, error) {
	var problem string
	signer, err := look(ctx, i, func(ctx context.Context) (string, error) {
		var signer string
		var err error
		signer, problem, err = i.Verifier.Verify(ctx, i.Remote.Image, digest, i.Auth)
		return signer, err
	})
	return signer, problem, err
}

// Manifest implements inspect.Source.
func (i *Images) Manifest(ctx context.Context, reference string) (registry.Manifest, error) {
	return i.Client.Manifest(ctx, i.Remote.Image, reference, i.Auth)
}

// Blob implements inspect.Source.
func (i *Images) Blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	return i.Client.Blob(ctx, i.Remote.Image, digest, limit, i.Auth)
}

// look looks once, within the limit.
func look[T any](ctx context.Context, i *Images, at func(context.Context) (T, error)) (T, error) {
	if i.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, i.Limit)
		defer cancel()
	}
	if i.Looked != nil {
		defer i.Looked()
	}
	answer, err := at(ctx)
	if errors.Is(err, registry.ErrNotFound) {
		return answer, gating.ErrGone
	}
	return answer, err
}
