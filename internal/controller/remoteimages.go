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

package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/fluxcd/image-reflector-controller/internal/gating"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/inspect"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// ImageReader reads images.
type ImageReader interface {
	Manifest(ctx context.Context, name image.Name, reference string, auth registry.AuthOptions) (registry.Manifest, error)
	Blob(ctx context.Context, name image.Name, digest string, limit int64, auth registry.AuthOptions) ([]byte, error)
}

var _ gating.Asker = &remoteTags{}

// Digest implements gating.Asker. An answer to a HEAD does not tell a registry that
// has no such image from somebody else on the way who says 404: another request does.
func (r *remoteTags) Digest(ctx context.Context, tag string) (string, error) {
	digest, err := r.digest(ctx, tag)
	if failure, ok := registryFailure(err); ok && failure.StatusCode == http.StatusNotFound {
		get := func(ctx context.Context, auth registry.AuthOptions) (registry.Manifest, error) {
			return r.policies.Registry.Manifest(ctx, r.from.name, tag, auth)
		}
		m, err := ask(ctx, r, registry.ToReadImage(tag), r.reading(tag), get)
		return m.Digest, gone(err)
	}
	return digest, err
}

// Image implements gating.Asker.
func (r *remoteTags) Image(ctx context.Context, reference string, wants inspect.Wants) (inspect.Image, error) {
	read := func(ctx context.Context, auth registry.AuthOptions) (inspect.Image, error) {
		return inspect.Of(ctx, imageSource{r.policies.Registry, r.from.name, auth}, reference, wants)
	}
	img, err := ask(ctx, r, registry.ToReadImage(reference), r.reading(reference), read)
	return img, gone(err)
}

// Verify implements gating.Asker.
func (r *remoteTags) Verify(ctx context.Context, digest string) (string, string, error) {
	type verdict struct{ signer, problem string }
	message := fmt.Sprintf("verifying %s@%s", r.from.name, digest)
	verify := func(ctx context.Context, auth registry.AuthOptions) (verdict, error) {
		signer, problem, err := r.verifier.Verify(ctx, r.from.name, digest, auth)
		return verdict{signer, problem}, err
	}
	v, err := ask(ctx, r, registry.ToVerify(digest), message, verify)
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

// imageSource reads the images of one repository under one identity.
type imageSource struct {
	reader ImageReader
	name   image.Name
	auth   registry.AuthOptions
}

// Manifest implements inspect.Source.
func (s imageSource) Manifest(ctx context.Context, reference string) (registry.Manifest, error) {
	return s.reader.Manifest(ctx, s.name, reference, s.auth)
}

// Blob implements inspect.Source.
func (s imageSource) Blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	return s.reader.Blob(ctx, s.name, digest, limit, s.auth)
}
