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
	"encoding/json"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// acceptManifests names what a tag may point at. Indexes come first: the digest
// of a multi-arch image is that of its index, whatever platform asks.
var acceptManifests = strings.Join([]string{
	string(types.OCIImageIndex),
	string(types.DockerManifestList),
	string(types.OCIManifestSchema1),
	string(types.DockerManifestSchema2),
}, ", ")

// digest returns the digest of what a tag points at: the one that the registry
// names, or else the one of the manifest's bytes.
func (s *session) digest(ctx context.Context, tag string) (string, error) {
	resp, err := s.manifest(ctx, http.MethodHead, tag)
	if err != nil {
		return "", err
	}
	defer closeBody(resp)
	if refusesHead(resp) {
		return s.computeDigest(ctx, tag)
	}
	if err := checkStatus(resp, http.StatusOK); err != nil {
		return "", err
	}
	if digest := namedDigest(resp); digest != "" {
		return digest, nil
	}
	return s.computeDigest(ctx, tag)
}

// exists reports whether the registry has the tag. No registry has a malformed
// one, which may stand in a status that something else wrote.
func (s *session) exists(ctx context.Context, tag string) (bool, error) {
	if !wellFormedTag(tag) {
		return false, nil
	}
	found, refused, err := s.has(ctx, http.MethodHead, tag)
	if refused {
		found, _, err = s.has(ctx, http.MethodGet, tag)
	}
	return found, err
}

// has reports whether the registry has the tag, and then whether it refuses to
// say so to a HEAD.
func (s *session) has(ctx context.Context, method, tag string) (bool, bool, error) {
	resp, err := s.manifest(ctx, method, tag)
	if err != nil {
		return false, false, err
	}
	defer closeBody(resp)
	if method == http.MethodHead && refusesHead(resp) {
		return false, true, nil
	}
	if err := checkStatus(resp, http.StatusOK, http.StatusNotFound); err != nil {
		return false, false, err
	}
	return resp.StatusCode == http.StatusOK, false, nil
}

// manifest asks for the manifest of a tag. The caller closes the response's
// body. Tags may come from a registry's list, so they are checked before they
// become a part of an address.
func (s *session) manifest(ctx context.Context, method, tag string) (*http.Response, error) {
	if !wellFormedTag(tag) {
		return nil, badAnswer("the tag is not a valid one")
	}
	return s.do(ctx, method, s.url("manifests/"+tag), acceptManifests)
}

// refusesHead reports whether the answer to a HEAD says that another method
// may do.
func refusesHead(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// namedDigest returns the digest that the registry names, and nothing where it
// names none or none that can be used.
func namedDigest(resp *http.Response) string {
	digest := resp.Header.Get("Docker-Content-Digest")
	if !image.IsDigest(digest) {
		return ""
	}
	return digest
}

// computeDigest reads the manifest of a tag and returns the digest of its
// bytes, which must be the one that the registry names, if it names one.
func (s *session) computeDigest(ctx context.Context, tag string) (string, error) {
	resp, err := s.manifest(ctx, http.MethodGet, tag)
	if err != nil {
		return "", err
	}
	defer closeBody(resp)
	if err := checkStatus(resp, http.StatusOK); err != nil {
		return "", err
	}
	m, err := s.readManifest(ctx, resp)
	return m.Digest, err
}

// checkManifest tells a manifest or an index from whatever else a server may
// send with status 200. Schema version 1 is refused: the digest of such a
// manifest is not the digest of its bytes.
func checkManifest(body []byte) error {
	if looksLikeHTML(body) {
		return badAnswer("it sent an HTML page in place of a manifest: check that spec.image names a registry")
	}
	var manifest struct {
		SchemaVersion int `json:"schemaVersion"`
	}
	if err := json.Unmarshal(body, &manifest); err != nil {
		return badAnswer("it sent a manifest that is malformed or cut off")
	}
	if manifest.SchemaVersion != 2 {
		return badAnswer("it sent JSON that is no manifest of schema version 2")
	}
	return nil
}
