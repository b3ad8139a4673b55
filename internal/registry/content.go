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

package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"net/http"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// Manifest is a manifest or an index as the registry keeps it.
type Manifest struct {
	// MediaType is what it says of itself, or else what the registry says.
	MediaType string
	// Digest is the digest of Bytes, "sha256:…".
	Digest string
	// Bytes is the manifest. It is JSON of schema version 2.
	Bytes []byte
}

// Manifest returns the manifest, or the index, at a tag or a digest. The bytes
// have the digest that was asked for, or else the one that the registry names.
// It fails with an *Error, which is ErrNotFound where there is none.
func (c *Client) Manifest(ctx context.Context, img image.Name, reference string, auth AuthOptions) (Manifest, error) {
	op := operation{verb: opManifest, image: img, auth: auth, tag: reference}
	if image.IsDigest(reference) {
		op.tag, op.digest = "", reference
	}
	return run(ctx, c, op, func(ctx context.Context, s *session) (Manifest, error) {
		return s.fullManifest(ctx, op.tag, op.digest)
	})
}

// Blob returns the blob of a digest, which is that of the bytes. One of more
// than limit bytes is an error, as is one that exceeds the Client's own limit
// for every body. It fails with an *Error, which is ErrNotFound where there is none.
func (c *Client) Blob(ctx context.Context, img image.Name, digest string, limit int64, auth AuthOptions) ([]byte, error) {
	op := operation{verb: opBlob, image: img, digest: digest, auth: auth}
	return run(ctx, c, op, func(ctx context.Context, s *session) ([]byte, error) { return s.blob(ctx, digest, limit) })
}

// fullManifest fetches the manifest of a tag or a digest.
func (s *session) fullManifest(ctx context.Context, tag, digest string) (Manifest, error) {
	resp, err := s.askForManifest(ctx, tag, digest)
	if err != nil {
		return Manifest{}, err
	}
	defer closeBody(resp)
	if err := checkFound(resp); err != nil {
		return Manifest{}, err
	}
	m, err := s.readManifest(ctx, resp)
	if err != nil {
		return Manifest{}, err
	}
	if digest != "" && m.Digest != digest {
		return Manifest{}, errOtherDigest
	}
	return m, checkUnambiguous(m)
}

// checkUnambiguous refuses what is a manifest to one reader and an index to the
// next: a media type outside of the bytes is covered by no digest.
func checkUnambiguous(m Manifest) error {
	var both struct {
		Manifests json.RawMessage `json:"manifests"`
		Config    json.RawMessage `json:"config"`
		Layers    json.RawMessage `json:"layers"`
	}
	if err := json.Unmarshal(m.Bytes, &both); err != nil {
		return badAnswer("it sent a manifest that is malformed or cut off")
	}
	if both.Manifests != nil && (both.Config != nil || both.Layers != nil) {
		return badAnswer("it sent a manifest that is an image and an index at the same time")
	}
	return nil
}

// askForManifest asks for the manifest of a tag, or else of a digest.
func (s *session) askForManifest(ctx context.Context, tag, digest string) (*http.Response, error) {
	if digest == "" {
		return s.manifest(ctx, http.MethodGet, tag)
	}
	return s.do(ctx, http.MethodGet, s.url("manifests/"+digest), acceptManifests)
}

// errOtherDigest is about bytes that are not those that were asked for.
const errOtherDigest = badAnswer("what it sent does not have the digest that was asked for")

// readManifest reads the manifest in an answer. Its digest must be the one that
// the registry names, if it names one.
func (s *session) readManifest(ctx context.Context, resp *http.Response) (Manifest, error) {
	body, err := s.read(ctx, resp, s.limits.ManifestBytes, "manifest")
	if err != nil {
		return Manifest{}, err
	}
	if err := checkManifest(body); err != nil {
		return Manifest{}, err
	}
	m := Manifest{MediaType: mediaTypeOf(resp, body), Digest: digestOf(body), Bytes: body}
	if named := namedDigest(resp); named != "" && named != m.Digest {
		return Manifest{}, badAnswer("the digest that it names is not the digest of the manifest that it sent")
	}
	return m, nil
}

// mediaTypeOf returns the media type of a manifest: its own, or else that of the
// answer.
func mediaTypeOf(resp *http.Response, body []byte) string {
	var own struct {
		MediaType string `json:"mediaType"`
	}
	if json.Unmarshal(body, &own) == nil && own.MediaType != "" {
		return own.MediaType
	}
	said, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return said
}

// blob fetches a blob. Registries often redirect to a store of blobs on another
// host, which is shown no credentials.
func (s *session) blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	if !image.IsDigest(digest) {
		return nil, badAnswer("the digest is not a valid one")
	}
	resp, err := s.do(ctx, http.MethodGet, s.url("blobs/"+digest), "*/*")
	if err != nil {
		return nil, err
	}
	defer closeBody(resp)
	if err := checkFound(resp); err != nil {
		return nil, err
	}
	body, err := s.read(ctx, resp, limit, "blob")
	if err != nil {
		return nil, err
	}
	if digestOf(body) != digest {
		return nil, errOtherDigest
	}
	return body, nil
}

// read reads the body of an answer to its end, which must come within limit bytes. A
// large one waits for its turn.
func (s *session) read(ctx context.Context, resp *http.Response, limit int64, what string) ([]byte, error) {
	m := meter{large: s.large}
	defer m.end()
	return readAtMost(m.of(ctx, resp.Body), limit, what)
}

// readAtMost reads a body to its end, which must come within limit bytes.
func readAtMost(body io.Reader, limit int64, what string) ([]byte, error) {
	read, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(read)) > limit {
		return nil, badAnswerf("the %s has more than the %d bytes that are read", what, limit)
	}
	return read, nil
}

// digestOf returns the digest of bytes.
func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
