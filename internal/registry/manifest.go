// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// acceptManifests is the Accept header for manifests. Indexes come first: the digest
// of a multi-arch image is that of its index.
var acceptManifests = strings.Join([]string{
	string(types.OCIImageIndex),
	string(types.DockerManifestList),
	string(types.OCIManifestSchema1),
	string(types.DockerManifestSchema2),
}, ", ")

// Digest returns the digest, "sha256:…", of the manifest or index at a tag. It fails
// with an *Error, which is ErrNotFound if the registry has no such tag.
func (r *Repository) Digest(ctx context.Context, tag string) (string, error) {
	op := operation{verb: opDigest, tag: tag}
	return run(ctx, r, op, func(ctx context.Context, r *reader) (string, error) { return r.digest(ctx, tag) })
}

// Exists reports whether a tag exists, without listing the tags. It fails with an
// *Error if the registry's response is not conclusive.
func (r *Repository) Exists(ctx context.Context, tag string) (bool, error) {
	if !IsTag(tag) {
		return false, nil // it may be in a status that another program wrote
	}
	op := operation{verb: opExists, tag: tag}
	_, err := run(ctx, r, op, func(ctx context.Context, r *reader) (any, error) { return nil, r.exists(ctx, tag) })
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// digest returns the digest of a tag: the one in the header of the response to HEAD, or
// else the one of the manifest's bytes.
func (r *reader) digest(ctx context.Context, tag string) (string, error) {
	header, err := r.head(ctx, tag)
	if err != nil {
		return "", err
	}
	if digest := headerDigest(header); digest != "" {
		return digest, nil
	}
	m, err := r.getManifest(ctx, tag)
	return m.Digest, err
}

// exists fails unless the registry has the tag. isNotFound holds for the error if the
// registry responded that it does not have it.
func (r *reader) exists(ctx context.Context, tag string) error {
	header, err := r.head(ctx, tag)
	if err == nil && header == nil {
		_, err = r.getManifest(ctx, tag)
	}
	return err
}

// head makes a HEAD request for a tag, and returns the headers of the response. It returns
// nil if the caller has to use GET: some registries refuse only HEAD (400, 403, 405, 501),
// or return 404 for it (Nexus: crazy-max/diun#1614), and the response has no body with
// which checkFound can distinguish the registry from a proxy.
func (r *reader) head(ctx context.Context, tag string) (http.Header, error) {
	resp, err := r.requestManifest(ctx, http.MethodHead, tag)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusNotAcceptable, http.StatusNotImplemented:
		return nil, nil
	}
	return resp.Header, checkStatus(resp)
}

// requestManifest requests the manifest of a tag or a digest. The caller closes the
// response's body. Tags may come from a registry's list, so they are checked before
// they become a part of a URL.
func (r *reader) requestManifest(ctx context.Context, method, reference string) (*http.Response, error) {
	if !image.IsDigest(reference) && !IsTag(reference) {
		return nil, transport.ProtocolError("the tag is not a valid one")
	}
	return r.do(ctx, method, r.url("manifests/"+reference), acceptManifests)
}

// checkFound fails unless a response has status 200. isNotFound holds for the error if the
// registry responded that it does not have the requested content.
//
// Such a response has status 404, and either the errors of the distribution specification
// or no body. A 404 with text or a page may come from a proxy, such as an ingress without
// backends, and is a failure like any other.
func checkFound(resp *http.Response) error {
	if resp.StatusCode != http.StatusNotFound {
		return checkStatus(resp)
	}
	body, err := readAtMost(resp.Body, maxErrorBody, "error")
	if err != nil {
		return err
	}
	buffered := *resp // the caller closes the body of resp
	buffered.Body = io.NopCloser(bytes.NewReader(body))
	err = checkStatus(&buffered)
	if s, ok := errors.AsType[*imageStatus](err); ok {
		s.notFound = isRegistryError(body)
	}
	return err
}

// maxErrorBody bounds the body of an error.
const maxErrorBody = 64 << 10

// isRegistryError reports whether the body of a failure comes from a registry: it has the
// errors of the distribution specification, or is empty.
func isRegistryError(body []byte) bool {
	if len(bytes.TrimSpace(body)) == 0 {
		return true
	}
	var response struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	err := json.Unmarshal(body, &response)
	return err == nil && len(response.Errors) > 0 && response.Errors[0].Code != ""
}

// headerDigest returns the digest in a response's header, "" if there is no valid one.
func headerDigest(header http.Header) string {
	digest := header.Get("Docker-Content-Digest")
	if !image.IsDigest(digest) {
		return ""
	}
	return digest
}

// parsedManifest has the fields that are used of a manifest or an index.
type parsedManifest struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	Manifests     json.RawMessage `json:"manifests"`
	Config        json.RawMessage `json:"config"`
	Layers        json.RawMessage `json:"layers"`
}

// parseManifest parses a manifest or an index. It rejects schema version 1, because the
// digest of such a manifest is not the digest of its bytes.
func parseManifest(body []byte) (parsedManifest, error) {
	var m parsedManifest
	switch {
	case looksLikeHTML(body):
		return m, transport.ProtocolError("it sent an HTML page in place of a manifest: check that spec.image names a registry")
	case json.Unmarshal(body, &m) != nil:
		return m, transport.ProtocolError("it sent a manifest that is malformed or cut off")
	case m.SchemaVersion != 2:
		return m, transport.ProtocolError("it sent JSON that is no manifest of schema version 2")
	}
	return m, nil
}
