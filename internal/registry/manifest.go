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
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// acceptManifests names what a tag may point at. Indexes come first: the digest
// of a multi-arch image is that of its index, whatever platform asks.
var acceptManifests = strings.Join([]string{
	string(types.OCIImageIndex),
	string(types.DockerManifestList),
	string(types.OCIManifestSchema1),
	string(types.DockerManifestSchema2),
}, ", ")

// Digest returns the digest, "sha256:…", of what a tag points at. For a
// multi-arch image that is the index. It fails with an *Error, which is ErrNotFound
// if the registry has no such tag.
func (r *Repository) Digest(ctx context.Context, tag string) (string, error) {
	op := operation{verb: opDigest, tag: tag}
	return run(ctx, r, op, func(ctx context.Context, r *reader) (string, error) { return r.digest(ctx, tag) })
}

// Exists reports whether a tag exists, by asking for that tag alone. It fails
// with an *Error if the registry answers neither yes nor no.
func (r *Repository) Exists(ctx context.Context, tag string) (bool, error) {
	op := operation{verb: opExists, tag: tag}
	return run(ctx, r, op, func(ctx context.Context, r *reader) (bool, error) { return r.exists(ctx, tag) })
}

// digest returns the digest of what a tag points at: the one that the registry
// names, or else the one of the manifest's bytes.
func (r *reader) digest(ctx context.Context, tag string) (string, error) {
	resp, err := r.head(ctx, tag)
	if err != nil {
		return "", err
	}
	if resp != nil {
		if digest := namedDigest(resp); digest != "" {
			return digest, nil
		}
	}
	m, err := r.getManifest(ctx, tag)
	return m.Digest, err
}

// exists reports whether the registry has the tag. No registry has a malformed
// one, which may stand in a status that something else wrote.
func (r *reader) exists(ctx context.Context, tag string) (bool, error) {
	if !isTag(tag) {
		return false, nil
	}
	resp, err := r.head(ctx, tag)
	if err != nil || resp != nil {
		return err == nil, err
	}
	resp, err = r.askForManifest(ctx, http.MethodGet, tag)
	if err != nil {
		return false, err
	}
	defer transport.CloseBody(resp)
	err = checkFound(resp)
	if _, missing := asNotFound(err); missing {
		return false, nil
	}
	return err == nil, err
}

// head makes a HEAD request for a tag. It returns no response if GET has to
// decide: registries refuse HEAD where they answer GET (400, 403, 405, 501), or
// answer 404 to it (Nexus: crazy-max/diun#1614), and the response to a HEAD has no
// body that would tell the registry from another server on the way.
func (r *reader) head(ctx context.Context, tag string) (*http.Response, error) {
	resp, err := r.askForManifest(ctx, http.MethodHead, tag)
	if err != nil {
		return nil, err
	}
	defer transport.CloseBody(resp)
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotAcceptable, http.StatusNotImplemented:
		return nil, nil
	}
	return resp, checkStatus(resp, http.StatusOK)
}

// askForManifest asks for the manifest of a tag or a digest. The caller closes
// the response's body. Tags may come from a registry's list, so they are checked
// before they become a part of an address.
func (r *reader) askForManifest(ctx context.Context, method, reference string) (*http.Response, error) {
	if !image.IsDigest(reference) && !isTag(reference) {
		return nil, transport.ProtocolError("the tag is not a valid one")
	}
	return r.do(ctx, method, r.url("manifests/"+reference), acceptManifests)
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

// checkManifest tells a manifest or an index from whatever else a server may
// send with status 200. Schema version 1 is refused: the digest of such a
// manifest is not the digest of its bytes.
func checkManifest(body []byte) error {
	if looksLikeHTML(body) {
		return transport.ProtocolError("it sent an HTML page in place of a manifest: check that spec.image names a registry")
	}
	var manifest struct {
		SchemaVersion int `json:"schemaVersion"`
	}
	if err := json.Unmarshal(body, &manifest); err != nil {
		return transport.ProtocolError("it sent a manifest that is malformed or cut off")
	}
	if manifest.SchemaVersion != 2 {
		return transport.ProtocolError("it sent JSON that is no manifest of schema version 2")
	}
	return nil
}
