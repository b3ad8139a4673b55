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

// push makes a tag point at a new image, and returns its digest.
func (f *fixture) push(tag, os, architecture string, created time.Time) string {
	return f.pushLabelled(tag, os, architecture, created, nil)
}

// pushLabelled is push for an image with labels.
func (f *fixture) pushLabelled(tag, os, architecture string, created time.Time, labels map[string]string) string {
	config, _ := json.Marshal(map[string]any{
		"os": os, "architecture": architecture, "created": created, "for": tag, "config": map[string]any{"Labels": labels},
	})
	manifest, _ := json.Marshal(map[string]any{"schemaVersion": 2, "config": map[string]string{"digest": sha256Digest(config)}})
	img := &fakeImage{digest: sha256Digest(manifest), manifest: manifest, config: config}
	if f.images == nil {
		f.images = map[string]*fakeImage{}
	}
	f.images[tag], f.images[img.digest], f.images[sha256Digest(config)] = img, img, img
	return img.digest
}

func sha256Digest(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

func (r *fakeRepository) Manifest(ctx context.Context, reference string) (registry.Manifest, error) {
	if err := r.admit(ctx); err != nil {
		return registry.Manifest{}, err
	}
	f := r.fixture
	f.recordRequest("manifest " + reference)
	if f.down != nil {
		return registry.Manifest{}, f.down
	}
	img := f.images[reference]
	if img == nil {
		return registry.Manifest{}, fmt.Errorf("%s: %w", reference, registry.ErrNotFound)
	}
	return registry.Manifest{Digest: img.digest, Bytes: img.manifest}, nil
}

func (r *fakeRepository) Blob(ctx context.Context, digest string, _ int64) ([]byte, error) {
	if err := r.admit(ctx); err != nil {
		return nil, err
	}
	f := r.fixture
	f.recordRequest("blob")
	if f.down != nil {
		return nil, f.down
	}
	return f.images[digest].config, nil
}

// Verifier implements VerifierFactory.
func (f *fixture) Verifier(context.Context, *v1.ImagePolicy) (images.Verifier, error) {
	return fakeVerifier{f}, nil
}

func (f *fixture) Forget(types.NamespacedName) {}

type fakeVerifier struct{ *fixture }

func (v fakeVerifier) Fingerprint() string { return "key " + v.key }

func (v fakeVerifier) DependsOnTime() bool { return false }

func (v fakeVerifier) Verify(ctx context.Context, repo signature.Repository, _ image.Name, digest string, _ time.Time) (string, string, error) {
	if err := repo.(*fakeRepository).admit(ctx); err != nil {
		return "", "", err
	}
	v.recordRequest("verify")
	if !image.IsDigest(digest) {
		return "", "", fmt.Errorf("%q is not a digest", digest)
	}
	if signer := v.signed[digest]; signer != "" && signer == v.key {
		return signer, "", v.fault
	}
	return "", "has no signature by one of the keys", v.fault
}

func (f *fixture) recordRequest(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, name)
}
