// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission/images"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
)

// fakeImage is an image of one platform.
type fakeImage struct {
	digest   string
	manifest []byte
	config   []byte
}

// put makes a tag point at a new image, and returns its digest.
func (w *fixture) put(tag, os, architecture string, created time.Time) string {
	config, _ := json.Marshal(map[string]any{"os": os, "architecture": architecture, "created": created, "for": tag})
	manifest, _ := json.Marshal(map[string]any{"schemaVersion": 2, "config": map[string]string{"digest": sum(config)}})
	img := &fakeImage{digest: sum(manifest), manifest: manifest, config: config}
	if w.images == nil {
		w.images = map[string]*fakeImage{}
	}
	w.images[tag], w.images[img.digest], w.images[sum(config)] = img, img, img
	return img.digest
}

func sum(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func (r *fakeRepository) Manifest(ctx context.Context, reference string) (registry.Manifest, error) {
	if err := r.admit(ctx); err != nil {
		return registry.Manifest{}, err
	}
	w := r.fixture
	w.request("manifest " + reference)
	if w.down != nil {
		return registry.Manifest{}, w.down
	}
	img := w.images[reference]
	if img == nil {
		return registry.Manifest{}, fmt.Errorf("%s: %w", reference, registry.ErrNotFound)
	}
	return registry.Manifest{Digest: img.digest, Bytes: img.manifest}, nil
}

func (r *fakeRepository) Blob(ctx context.Context, digest string, _ int64) ([]byte, error) {
	if err := r.admit(ctx); err != nil {
		return nil, err
	}
	w := r.fixture
	w.request("blob")
	if w.down != nil {
		return nil, w.down
	}
	return w.images[digest].config, nil
}

// Verifier implements Verifiers.
func (w *fixture) Verifier(context.Context, *v1.ImagePolicy) (images.Verifier, error) {
	return fakeVerifier{w}, nil
}

func (w *fixture) Forget(types.NamespacedName) {}

type fakeVerifier struct{ *fixture }

func (v fakeVerifier) Fingerprint() string { return "key " + v.key }

func (v fakeVerifier) Verify(ctx context.Context, repo signature.Repository, _ image.Name, digest string) (string, string, error) {
	if err := repo.(*fakeRepository).admit(ctx); err != nil {
		return "", "", err
	}
	v.request("verify")
	if !image.IsDigest(digest) {
		return "", "", fmt.Errorf("the digest %q is none", digest)
	}
	if signer := v.signed[digest]; signer != "" && signer == v.key {
		return signer, "", v.fault
	}
	return "", "has no signature by one of the keys", v.fault
}

func (w *fixture) request(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, what)
}
