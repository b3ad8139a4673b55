// SPDX-License-Identifier: Apache-2.0

// Package signaturetest signs images in the formats of cosign and notation, with keys and
// authorities for tests.
package signaturetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Store is a registry to which signatures are pushed. It is implemented by
// registrytest.Registry.
type Store interface {
	PushBlob(t testing.TB, repo string, blob []byte) string
	PushManifest(t testing.TB, repo, tag, mediaType string, manifest []byte) string
}

// Remote is a Store at a host and port, which is reached by plain HTTP.
type Remote string

// PushBlob implements Store.
func (r Remote) PushBlob(t testing.TB, repo string, blob []byte) string {
	t.Helper()
	digest := digestOf(blob)
	target := r.request(t, http.MethodPost, r.address("/v2/"+repo+"/blobs/uploads/"), "", nil).Get("Location")
	if strings.HasPrefix(target, "/") {
		target = r.address(target)
	}
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	r.request(t, http.MethodPut, target+separator+"digest="+digest, "application/octet-stream", blob)
	return digest
}

// PushManifest implements Store.
func (r Remote) PushManifest(t testing.TB, repo, tag, mediaType string, manifest []byte) string {
	t.Helper()
	digest := digestOf(manifest)
	if tag == "" {
		tag = digest
	}
	r.request(t, http.MethodPut, r.address("/v2/"+repo+"/manifests/"+tag), mediaType, manifest)
	return digest
}

// Describe returns the descriptor of the manifest or the index with a digest.
func (r Remote) Describe(t testing.TB, repo, digest string) Descriptor {
	t.Helper()
	header := r.request(t, http.MethodHead, r.address("/v2/"+repo+"/manifests/"+digest), "", nil)
	size, err := strconv.Atoi(header.Get("Content-Length"))
	if err != nil {
		t.Fatalf("invalid Content-Length of %s from %s: %v", digest, r, err)
	}
	return Descriptor{MediaType: header.Get("Content-Type"), Digest: digest, Size: size}
}

// address returns the URL of a path.
func (r Remote) address(path string) string { return "http://" + string(r) + path }

// request makes a request, which must succeed, and returns the headers of the response.
func (r Remote) request(t testing.TB, method, address, contentType string, body []byte) http.Header {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header["Accept"] = []string{ManifestType, IndexType, "application/vnd.docker.distribution.manifest.v2+json"}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusBadRequest {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("%s %s: status %d: %s", method, address, resp.StatusCode, text)
	}
	return resp.Header
}

// digestOf returns the digest of bytes.
func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// encode returns the JSON of a value.
func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
