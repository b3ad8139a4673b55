// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.docker.distribution.manifest.v2+json"
)

func TestManifest_ReturnsDigestAndType(t *testing.T) {
	reg := registrytest.Start(t)
	index := reg.PushIndex(t, "app", "multi", "linux/amd64", "linux/arm64")
	single := reg.Push(t, "app", "single")
	untyped := reg.PushManifest(t, "app", "untyped", indexType, []byte(`{"schemaVersion":2,"manifests":[]}`))
	c, img := newTestClient(t), parse(t, reg.Image("app"))
	cases := map[string]struct{ reference, wantDigest, wantType string }{
		"TagOfIndex":     {reference: "multi", wantDigest: index, wantType: indexType},
		"DigestOfIndex":  {reference: index, wantDigest: index, wantType: indexType},
		"TagOfImage":     {reference: "single", wantDigest: single, wantType: manifestType},
		"DigestOfImage":  {reference: single, wantDigest: single, wantType: manifestType},
		"TypeFromHeader": {reference: "untyped", wantDigest: untyped, wantType: indexType},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			reg.Reset()
			got, err := c.Manifest(t.Context(), img, tc.reference, AuthOptions{})
			if err != nil || got.Digest != tc.wantDigest || got.MediaType != tc.wantType {
				t.Errorf("got %s of type %s, error %v, want %s of type %s", got.Digest, got.MediaType, err, tc.wantDigest, tc.wantType)
			}
			g.Expect(digestOf(got.Bytes)).To(Equal(tc.wantDigest), "digest of the returned bytes: %s", got.Bytes)
			g.Expect(reg.Count(registrytest.ManifestGet)).To(Equal(1), "requests for the manifest, want 1")
		})
	}
}

// TestErrNotFound_RequiresRegistryResponse tests that only a response of the registry itself
// counts as not found.
func TestErrNotFound_RequiresRegistryResponse(t *testing.T) {
	const unknown = `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`
	cases := map[string]struct {
		reason string
		fault  registrytest.Fault // nil for the response of the registry
		want   bool
	}{
		"Registry":     {reason: "the response of the registry", want: true},
		"JSON":         {reason: "an error of the distribution specification", fault: registrytest.Status(404, unknown), want: true},
		"Empty":        {reason: "no body at all", fault: registrytest.Status(404, ""), want: true},
		"Text":         {reason: "an ingress without backends", fault: registrytest.Status(404, "default backend - 404")},
		"HTML":         {reason: "a web page", fault: registrytest.Status(404, "<html>no such site</html>")},
		"OtherJSON":    {reason: "other JSON", fault: registrytest.Status(404, `{"message":"no route"}`)},
		"Huge":         {reason: "an error body beyond the limit", fault: registrytest.Status(404, strings.Repeat(" ", maxErrorBody+1))},
		"Unauthorized": {reason: "without access, the existence is unknown", fault: registrytest.Status(401, unknown)},
		"Forbidden":    {reason: "without access, the existence is unknown", fault: registrytest.Status(403, unknown)},
		"Throttled":    {reason: "temporary", fault: registrytest.Status(429, unknown)},
		"Failure":      {reason: "temporary", fault: registrytest.Status(500, unknown)},
		"Gone":         {reason: "registries don't use this status", fault: registrytest.Status(410, unknown)},
		"Reset":        {reason: "no response", fault: registrytest.Reset()},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg, img := start(t)
			if tc.fault != nil {
				reg.Inject(registrytest.ManifestGet, tc.fault)
				reg.Inject(registrytest.Blob, tc.fault)
			}
			for kind, err := range requestMissing(t, img) {
				if got := errors.Is(err, ErrNotFound); err == nil || got != tc.want {
					t.Errorf("%s, %s: got %v for %v, want %v", tc.reason, kind, got, err, tc.want)
				}
			}
		})
	}
}

// requestMissing requests missing content by all operations that report it.
func requestMissing(t *testing.T, img image.Name) map[string]error {
	t.Helper()
	c, none := newTestClient(t), "sha256:"+strings.Repeat("0", 64)
	_, byTag := c.Manifest(t.Context(), img, "9.9.9", AuthOptions{})
	_, byDigest := c.Manifest(t.Context(), img, none, AuthOptions{})
	_, blob := c.Blob(t.Context(), img, none, 100, AuthOptions{})
	return map[string]error{"manifest by tag": byTag, "manifest by digest": byDigest, "blob": blob}
}

func TestBlob_RejectsInvalidResponses(t *testing.T) {
	const content = "pushed content"
	cases := map[string]struct {
		reason string
		digest string // "" is that of the blob
		limit  int64
		fault  registrytest.Fault
		words  []string
	}{
		"OtherBytes": {reason: "the content must match the digest", fault: registrytest.Body("", "pushed contenT"), words: []string{"does not have the digest", "@sha256:"}},
		"HTML":       {reason: "an HTML page doesn't match the digest", limit: 1000, fault: registrytest.HTML(), words: []string{"does not have the digest"}},
		"Limit":      {reason: "the caller's limit", limit: int64(len(content)) - 1, words: []string{"13 bytes"}},
		"BodyLimit":  {reason: "the limit for every body", limit: 1 << 40, fault: registrytest.Huge(17 << 20), words: []string{"16777216 bytes"}},
		"CutOff":     {reason: "the connection breaks", limit: 2000, fault: registrytest.CutOff(), words: []string{"closed the connection"}},
		"Missing":    {reason: "the blob doesn't exist", digest: "sha256:" + strings.Repeat("0", 64), words: []string{"no content with that digest (404"}},
		"BadDigest":  {reason: "an invalid digest must not become a part of the URL", digest: "sha256:../../x", words: []string{"not a valid"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg, img := start(t)
			digest := reg.PushBlob(t, "app", []byte(content))
			if tc.fault != nil {
				reg.Inject(registrytest.Blob, tc.fault)
			}
			if tc.digest != "" {
				digest = tc.digest
			}
			if tc.limit == 0 {
				tc.limit = int64(len(content))
			}
			_, err := newTestClient(t).Blob(t.Context(), img, digest, tc.limit, AuthOptions{})
			checkError(t, err, v1.ReadOperationFailedReason, append(tc.words, "failed to get the blob")...)
		})
	}
}
