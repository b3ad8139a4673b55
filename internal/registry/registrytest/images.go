// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Push pushes a new image of random content and returns its digest. Like all push helpers of this
// package it bypasses login, faults and the request log.
func (r *Registry) Push(t testing.TB, repo, tag string) string {
	t.Helper()
	return r.PushImage(t, repo, tag, randomImage(t))
}

// PushImage pushes an image and returns its digest.
func (r *Registry) PushImage(t testing.TB, repo, tag string, img v1.Image) string {
	t.Helper()
	if err := remote.Write(reference(t, repo, tag), img, r.direct()); err != nil {
		t.Fatalf("push %s:%s: %v", repo, tag, err)
	}
	return digestOf(t, img)
}

// PushIndex pushes a new multi-arch image of random content, with one image per platform such as
// "linux/arm64", and returns the digest of its index.
func (r *Registry) PushIndex(t testing.TB, repo, tag string, platforms ...string) string {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, value := range platforms {
		platform, err := v1.ParsePlatform(value)
		if err != nil {
			t.Fatalf("push %s:%s: %v", repo, tag, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        mutate.MediaType(randomImage(t), types.OCIManifestSchema1),
			Descriptor: v1.Descriptor{Platform: platform},
		})
	}
	if err := remote.WriteIndex(reference(t, repo, tag), index, r.direct()); err != nil {
		t.Fatalf("push %s:%s: %v", repo, tag, err)
	}
	return digestOf(t, index)
}

// PushTags pushes one image under many tags and returns its digest.
func (r *Registry) PushTags(t testing.TB, repo string, tags ...string) string {
	t.Helper()
	var digest string
	for i, tag := range tags {
		if i == 0 {
			digest = r.Push(t, repo, tag)
			continue
		}
		r.Retag(t, repo, tags[0], tag)
	}
	return digest
}

// Retag makes the tag "to" point to the image of the tag or digest "from".
func (r *Registry) Retag(t testing.TB, repo, from, to string) {
	t.Helper()
	manifest := r.request(t, http.MethodGet, repo, from, nil, "")
	r.request(t, http.MethodPut, repo, to, manifest.Body.Bytes(), manifest.Header().Get("Content-Type"))
}

// Manifest returns the bytes of the manifest of a tag or digest.
func (r *Registry) Manifest(t testing.TB, repo, reference string) []byte {
	t.Helper()
	return r.request(t, http.MethodGet, repo, reference, nil, "").Body.Bytes()
}

// PushManifest pushes the bytes of a manifest under a tag, or under its digest if tag is empty,
// and returns its digest.
func (r *Registry) PushManifest(t testing.TB, repo, tag, mediaType string, manifest []byte) string {
	t.Helper()
	digest := digestOfBytes(manifest)
	r.request(t, http.MethodPut, repo, cmp.Or(tag, digest), manifest, mediaType)
	return digest
}

// PushBlob pushes a blob and returns its digest.
func (r *Registry) PushBlob(t testing.TB, repo string, blob []byte) string {
	t.Helper()
	layer := static.NewLayer(blob, types.OCIUncompressedLayer)
	if err := remote.WriteLayer(reference(t, repo, "any").Repository, layer, r.direct()); err != nil {
		t.Fatalf("push a blob to %s: %v", repo, err)
	}
	return digestOfBytes(blob)
}

// Delete removes a tag.
func (r *Registry) Delete(t testing.TB, repo, tag string) {
	t.Helper()
	r.request(t, http.MethodDelete, repo, tag, nil, "")
}

// SetPrivate makes a repository require credentials, in a registry whose other repositories are
// public.
func (r *Registry) SetPrivate(repo string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.private[repo] = true
}

// mayPull reports whether a repository exists and the client may pull from it.
func (r *Registry) mayPull(repo string, anonymous bool) bool {
	r.mu.Lock()
	private := r.private[repo]
	r.mu.Unlock()
	return r.exists(repo) && (!private || !anonymous)
}

// exists reports whether a repository contains an image.
func (r *Registry) exists(repo string) bool { return r.has("/v2/" + repo + "/tags/list") }

// hasManifest reports whether a repository contains a manifest.
func (r *Registry) hasManifest(repo, digest string) bool {
	return r.has("/v2/" + repo + "/manifests/" + digest)
}

// has reports whether the backend serves a path.
func (r *Registry) has(path string) bool {
	recorder := httptest.NewRecorder()
	r.backend.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	return recorder.Code == http.StatusOK
}

// request sends a request for a manifest to the backend and fails the test unless it succeeds.
func (r *Registry) request(t testing.TB, method, repo, target string, body []byte, contentType string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, "/v2/"+repo+"/manifests/"+target, bytes.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	recorder := httptest.NewRecorder()
	r.backend.ServeHTTP(recorder, req)
	if recorder.Code >= http.StatusBadRequest {
		t.Fatalf("%s %s:%s: status %d", method, repo, target, recorder.Code)
	}
	return recorder
}

// direct returns the option to access the backend without a network.
func (r *Registry) direct() remote.Option {
	return remote.WithTransport(handlerTransport{handler: r.backend})
}

// handlerTransport serves requests by a handler in the same process.
type handlerTransport struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (h handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	inbound := req.Clone(req.Context())
	if inbound.Body == nil {
		inbound.Body = http.NoBody // a server never passes a nil body
	}
	recorder := httptest.NewRecorder()
	h.handler.ServeHTTP(recorder, inbound)
	resp := recorder.Result()
	resp.Request = req
	return resp, nil
}

// reference returns the name of a tag in the backend, which has no host.
func reference(t testing.TB, repo, tag string) name.Tag {
	t.Helper()
	ref, err := name.NewTag("registry.test/" + repo + ":" + tag)
	if err != nil {
		t.Fatalf("name of %s:%s: %v", repo, tag, err)
	}
	return ref
}

// randomImage returns a small image of unique content.
func randomImage(t testing.TB) v1.Image {
	t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatalf("random image: %v", err)
	}
	return img
}

// digestOf returns the digest of an image or an index.
func digestOf(t testing.TB, artifact interface{ Digest() (v1.Hash, error) }) string {
	t.Helper()
	digest, err := artifact.Digest()
	if err != nil {
		t.Fatalf("digest: %v", err)
	}
	return digest.String()
}

// digestOfBytes returns the digest of a blob or a manifest.
func digestOfBytes(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
