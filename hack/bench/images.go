// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"time"

	containers "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	platform = "linux/amd64" // that all images provide
	// secondPlatform is provided by three of four images.
	secondPlatform = "linux/arm64"

	// The format of cosign's signatures
	// (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md).
	simpleSigning       = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureAnnotation = "dev.cosignproject.cosign/signature"
	signatureSuffix     = ".sig"
)

// createdLongAgo is when initial tags were created, except for recent ones.
var createdLongAgo = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// share reports whether a tag is one of an nth of all tags, by a hash with a salt.
func share(tag, salt string, n uint32) bool {
	h := fnv.New32a()
	h.Write([]byte(salt + tag)) // a hash never returns an error
	return h.Sum32()%n == 0
}

// platformsOf returns the platforms of a tag's image.
func platformsOf(tag string) []string {
	if share(tag, secondPlatform, 4) {
		return []string{platform}
	}
	return []string{platform, secondPlatform}
}

// isSigned reports whether the image of a tag is signed: four of five are.
func isSigned(tag string) bool { return !share(tag, "signed", 5) }

// createdAt returns when the image of a tag was created: when it was pushed. An eighth of the
// initial tags was created at the start, unless the tags change, and the others long ago.
func (r *syntheticRegistry) createdAt(name, tag string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	repo := r.repository(name)
	switch pushed, found := repo.pushed[tag]; {
	case found:
		return pushed
	case !r.churns && share(tag, "recent", 8):
		return r.started
	default:
		return createdLongAgo
	}
}

// manifestOf returns the manifest of a tag's image, which never changes: an index that states
// platforms and the time of creation.
func (r *syntheticRegistry) manifestOf(name, tag string) []byte {
	index := containers.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Annotations: map[string]string{
		"org.opencontainers.image.created": r.createdAt(name, tag).UTC().Format(time.RFC3339),
	}}
	for _, text := range platformsOf(tag) {
		parsed, _ := containers.ParsePlatform(text) // constants are valid
		digest, size, _ := containers.SHA256(strings.NewReader(name + ":" + tag + text))
		index.Manifests = append(index.Manifests, containers.Descriptor{
			MediaType: types.OCIManifestSchema1, Digest: digest, Size: size, Platform: parsed,
		})
	}
	return encode(index)
}

// digestOf returns the digest of a tag's image, also of a tag that was removed.
func (r *syntheticRegistry) digestOf(name, tag string) string {
	return digestOfBytes(r.manifestOf(name, tag))
}

func digestOfBytes(content []byte) string {
	digest, _, _ := containers.SHA256(bytes.NewReader(content)) // reading bytes never fails
	return digest.String()
}

func encode(value any) []byte {
	content, _ := json.Marshal(value) // structs of strings always encode
	return content
}

// serveManifest serves the image of a tag, the signature of an image, or the image at a digest
// that was served before.
func (r *syntheticRegistry) serveManifest(w http.ResponseWriter, req *http.Request) {
	name, reference := "team/"+req.PathValue("app"), req.PathValue("reference")
	var content []byte
	switch {
	case slices.Contains(r.tags(name), reference):
		content = r.manifestOf(name, reference)
		r.contents.Store(digestOfBytes(content), signable{content, reference})
	case strings.HasSuffix(reference, signatureSuffix):
		digest := strings.Replace(strings.TrimSuffix(reference, signatureSuffix), "-", ":", 1)
		if image, found := r.contents.Load(digest); found && isSigned(image.(signable).tag) {
			content = r.sign(digest)
		}
	default:
		content = r.contentOf(reference)
	}
	serveContent(w, content)
}

// serveBlob serves the signed payload with a digest.
func (r *syntheticRegistry) serveBlob(w http.ResponseWriter, req *http.Request) {
	serveContent(w, r.contentOf(req.PathValue("digest")))
}

// signable is a manifest, with the tag that it was served for, or a blob.
type signable struct {
	content []byte
	tag     string
}

// contentOf returns the content with a digest, nil if it was never served.
func (r *syntheticRegistry) contentOf(digest string) []byte {
	found, _ := r.contents.Load(digest)
	stored, _ := found.(signable)
	return stored.content
}

// serveContent serves a manifest or a blob, or 404 if it is nil.
func serveContent(w http.ResponseWriter, content []byte) {
	if content == nil {
		http.Error(w, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, http.StatusNotFound)
		return
	}
	var typed struct {
		MediaType string `json:"mediaType"`
	}
	_ = json.Unmarshal(content, &typed) // a blob has no media type
	w.Header().Set("Content-Type", typed.MediaType)
	w.Header().Set("Docker-Content-Digest", digestOfBytes(content))
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content) //nolint:gosec // it is what this program made, and no browser reads it
}

// signingKey signs images. It is constant, like all that the registries serve.
var signingKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// publicKey returns the public key in the format of cosign.
func publicKey() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(signingKey.Public())
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}

// sign stores the payload of an image's signature, and returns the manifest with the signature.
func (r *syntheticRegistry) sign(digest string) []byte {
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":%q},`+
		`"type":"cosign container image signature"},"optional":null}`, digest)
	hash, size, _ := containers.SHA256(bytes.NewReader(payload))
	r.contents.Store(hash.String(), signable{content: payload})
	return encode(containers.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: containers.Descriptor{MediaType: types.OCIConfigJSON, Digest: hash, Size: size},
		Layers: []containers.Descriptor{{MediaType: simpleSigning, Digest: hash, Size: size, Annotations: map[string]string{
			signatureAnnotation: base64.StdEncoding.EncodeToString(ed25519.Sign(signingKey, payload)),
		}}},
	})
}
