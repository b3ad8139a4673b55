// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

const (
	// maxReferrerPages bounds the pages of one list of referrers.
	maxReferrerPages = 16
	// maxReferrers bounds the referrers of one manifest.
	maxReferrers = 1024
	// noReferrersFor is how long the absence of the referrers API is cached.
	noReferrersFor = time.Hour
)

// Referrer is the registry's descriptor of a manifest that refers to another one, such as
// a signature. Callers have to verify it.
type Referrer struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
}

// Referrers lists the referrers of a manifest by the registry's API, or else by the
// referrers tag of the distribution specification. It does not use the filter of the API,
// because some registries filter by the media type of the config in place of the artifact
// type.
//
// It fails with an *Error. A manifest without referrers is not an error.
func (r *Repository) Referrers(ctx context.Context, digest string) ([]Referrer, error) {
	op := operation{verb: opReferrers, digest: digest}
	found, err := run(ctx, r, op, func(ctx context.Context, r *reader) ([]Referrer, error) {
		found, err := r.referrers(ctx, digest)
		if err == nil && len(found) == 0 {
			err = errNoneFound // a mirror may not have them
		}
		return found, err
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return found, err
}

// errNoneFound means that a host has no referrers of a manifest.
var errNoneFound = &imageStatus{status: &ggcr.Error{StatusCode: http.StatusNotFound}, notFound: true}

// referrers lists the referrers of a manifest.
func (r *reader) referrers(ctx context.Context, digest string) ([]Referrer, error) {
	if !image.IsDigest(digest) {
		return nil, transport.ProtocolError("the digest is not a valid one")
	}
	if r.now().Before(time.Unix(r.capabilities.noReferrers.Load(), 0)) {
		return r.taggedReferrers(ctx, digest)
	}
	found, err := r.listedReferrers(ctx, digest)
	switch {
	case errors.Is(err, errNoReferrers):
		r.capabilities.noReferrers.Store(r.now().Add(noReferrersFor).Unix())
	case !errors.Is(err, errReferrersRefused):
		return found, err
	}
	return r.taggedReferrers(ctx, digest)
}

const (
	// errNoReferrers means that the registry has no API for referrers.
	errNoReferrers = transport.ProtocolError("it has no API for referrers")
	// errReferrersRefused means that the API refuses a client that may pull. It is not
	// cached, because the API may accept the next request.
	errReferrersRefused = transport.ProtocolError("its API for referrers refuses access")
)

// listedReferrers lists referrers by the registry's API.
func (r *reader) listedReferrers(ctx context.Context, digest string) ([]Referrer, error) {
	var all []Referrer
	next := r.url("referrers/" + digest)
	for range maxReferrerPages {
		page, after, err := r.referrerPage(ctx, next)
		if err != nil {
			return nil, err
		}
		if all = append(all, page...); len(all) > maxReferrers {
			return nil, transport.ProtocolErrorf("it lists more than the %d referrers that are read", maxReferrers)
		}
		if after == nil {
			return all, nil
		}
		next = after
	}
	return nil, transport.ProtocolErrorf("the list of referrers has more than the %d pages that are read", maxReferrerPages)
}

// referrerPage reads a page of a list of referrers, and returns the URL of the next
// one, nil if there is none.
func (r *reader) referrerPage(ctx context.Context, u *url.URL) ([]Referrer, *url.URL, error) {
	resp, err := r.do(ctx, http.MethodGet, u, string(types.OCIImageIndex))
	if isBadRedirect(err) { // such as one to a login page
		return nil, nil, errNoReferrers
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := checkReferrersStatus(resp); err != nil {
		return nil, nil, err
	}
	body, err := r.read(ctx, resp, r.limits.ManifestBytes, "list of referrers")
	if err != nil {
		return nil, nil, err
	}
	if !isIndex(resp, body) {
		return nil, nil, errNoReferrers
	}
	found, err := parseReferrers(body)
	if err != nil {
		return nil, nil, err
	}
	next, err := nextPage(resp)
	return found, next, err
}

// isBadRedirect reports whether an error is about a redirect that is not followed.
func isBadRedirect(err error) bool {
	return errors.Is(err, transport.ErrBadRedirect) || errors.Is(err, transport.ErrPlainHTTP) || errors.Is(err, transport.ErrTooManyRedirects)
}

// checkReferrersStatus fails unless the API is available. The specification requires
// status 404 if it is not; older registries return other statuses.
func checkReferrersStatus(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusNotAcceptable, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return errNoReferrers
	case http.StatusUnauthorized, http.StatusForbidden:
		return errReferrersRefused
	}
	return checkStatus(resp)
}

// isIndex reports whether a response is an index, by its Content-Type or its body. Some
// registries without the API return a web page with status 200, or redirect to one
// (google/go-containerregistry#1968). A malformed body with the Content-Type of an index
// is an index, too, so that parsing it fails.
func isIndex(resp *http.Response, body []byte) bool {
	if contentType(resp) == string(types.OCIImageIndex) {
		return true
	}
	index, err := parseManifest(body)
	return err == nil && bytes.HasPrefix(index.Manifests, []byte("["))
}

// taggedReferrers reads the index at the referrers tag, which clients maintain for
// registries without the API. There are no referrers if the tag is the image or another
// manifest that is not an index: some registries resolve the tag to the image itself
// (GitLab: oras-project/oras-go#1396).
func (r *reader) taggedReferrers(ctx context.Context, digest string) ([]Referrer, error) {
	index, err := r.getManifest(ctx, strings.Replace(digest, ":", "-", 1))
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if index.Digest == digest || index.MediaType != string(types.OCIImageIndex) {
		return nil, nil
	}
	return parseReferrers(index.Bytes)
}

// parseReferrers parses an index of referrers.
func parseReferrers(body []byte) ([]Referrer, error) {
	index, err := parseManifest(body)
	if err != nil || index.Manifests == nil {
		return nil, err
	}
	var referrers []Referrer
	if err := json.Unmarshal(index.Manifests, &referrers); err != nil {
		return nil, transport.ProtocolError("it sent a list of referrers that is malformed")
	}
	if len(referrers) > maxReferrers {
		return nil, transport.ProtocolErrorf("it lists more than the %d referrers that are read", maxReferrers)
	}
	return referrers, nil
}
