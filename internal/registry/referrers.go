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
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

const (
	// maxReferrerPages bounds the pages of one list of referrers.
	maxReferrerPages = 16
	// maxReferrers bounds the referrers of one manifest.
	maxReferrers = 1024
	// noReferrersFor is how long a registry without the API for referrers is
	// not asked again whether it has it now.
	noReferrersFor = time.Hour
)

// Referrer describes a manifest that says of itself that it is about another
// one, such as a signature. What the description says is to be checked.
type Referrer struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType"`
	Annotations  map[string]string `json:"annotations"`
}

// Referrers lists what refers to the manifest of a digest. Where the registry
// has no API for that, it reads the index under the tag that the distribution
// specification has in place of it. The list is not filtered by the registry:
// some of them take the type of the config for that of the artifact.
//
// It fails with an *Error. To have no referrers is no failure.
func (c *Client) Referrers(ctx context.Context, img image.Name, digest string, auth AuthOptions) ([]Referrer, error) {
	op := operation{verb: opReferrers, image: img, digest: digest, auth: auth}
	return run(ctx, c, op, func(ctx context.Context, s *session) ([]Referrer, error) { return s.referrers(ctx, digest) })
}

// referrers lists the referrers of a manifest, in whichever way there is.
func (s *session) referrers(ctx context.Context, digest string) ([]Referrer, error) {
	if !image.IsDigest(digest) {
		return nil, badAnswer("the digest is not a valid one")
	}
	if s.now().Before(time.Unix(s.habits.noReferrers.Load(), 0)) {
		return s.taggedReferrers(ctx, digest)
	}
	found, supported, err := s.listedReferrers(ctx, digest)
	if err != nil || supported {
		return found, err
	}
	s.habits.noReferrers.Store(s.now().Add(noReferrersFor).Unix())
	return s.taggedReferrers(ctx, digest)
}

// listedReferrers lists referrers by the registry's API, and reports whether it
// has it.
func (s *session) listedReferrers(ctx context.Context, digest string) ([]Referrer, bool, error) {
	var all []Referrer
	next := s.url("referrers/" + digest)
	for range maxReferrerPages {
		page, after, supported, err := s.referrerPage(ctx, next)
		if err != nil || !supported {
			return nil, supported, err
		}
		if all = append(all, page...); len(all) > maxReferrers {
			return nil, true, badAnswerf("it lists more than the %d referrers that are read", maxReferrers)
		}
		if after == nil {
			return all, true, nil
		}
		next = after
	}
	return nil, true, badAnswerf("the list of referrers has more than the %d pages that are read", maxReferrerPages)
}

// referrerPage reads one page of a list of referrers. It returns the address
// of the next one, nil where there is none, and whether the registry has the API.
func (s *session) referrerPage(ctx context.Context, u *url.URL) ([]Referrer, *url.URL, bool, error) {
	resp, err := s.do(ctx, http.MethodGet, u, string(types.OCIImageIndex))
	if err != nil {
		return nil, nil, false, err
	}
	defer closeBody(resp)
	if lacksReferrers(resp) {
		return nil, nil, false, nil
	}
	if err := checkStatus(resp, http.StatusOK); err != nil {
		return nil, nil, false, err
	}
	body, err := s.read(ctx, resp, s.limits.ManifestBytes, "list of referrers")
	if err != nil {
		return nil, nil, false, err
	}
	if said, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || said != string(types.OCIImageIndex) {
		return nil, nil, false, badAnswer("it sent something else in place of a list of referrers")
	}
	found, err := parseReferrers(body)
	if err != nil {
		return nil, nil, false, err
	}
	next, err := nextPage(resp)
	return found, next, true, err
}

// lacksReferrers reports whether an answer says that the registry has no API for
// referrers. The specification has 404 for that, older registries have others.
func lacksReferrers(resp *http.Response) bool {
	return resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusNotAcceptable || refusesHead(resp)
}

// taggedReferrers reads the index of referrers that clients keep under a tag,
// where the registry keeps none.
func (s *session) taggedReferrers(ctx context.Context, digest string) ([]Referrer, error) {
	index, err := s.fullManifest(ctx, strings.Replace(digest, ":", "-", 1), "")
	if _, none := asMissing(err); none {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if index.MediaType != string(types.OCIImageIndex) {
		return nil, badAnswer("the tag under which referrers are listed holds no index")
	}
	return parseReferrers(index.Bytes)
}

// parseReferrers reads an index of referrers.
func parseReferrers(body []byte) ([]Referrer, error) {
	if err := checkManifest(body); err != nil {
		return nil, err
	}
	var index struct {
		Manifests []Referrer `json:"manifests"`
	}
	if err := json.Unmarshal(body, &index); err != nil {
		return nil, badAnswer("it sent a list of referrers that is malformed")
	}
	if len(index.Manifests) > maxReferrers {
		return nil, badAnswerf("it lists more than the %d referrers that are read", maxReferrers)
	}
	return index.Manifests, nil
}
