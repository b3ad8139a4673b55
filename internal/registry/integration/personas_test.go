// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/hack/testenv"
)

// TestPersona_MatchesProduct sends the same requests for the same images to personas and to the
// real products, where these are available. Other tests rely on the status, headers and bodies of
// personas. It found that Distribution 3 accepts large pages, that version 2 ignores paging, and
// that both reject OCI manifests if the client doesn't accept them.
func TestPersona_MatchesProduct(t *testing.T) {
	images := comparedImages(t)
	cases := map[string]struct {
		reason    string
		pair      func(*testing.T, map[string]v1.Image) (server, persona *comparedServer)
		deviation map[string]string // by request: why the persona may differ
	}{
		"Distribution 2": {
			reason: "password authentication",
			pair:   distribution2Servers,
			deviation: map[string]string{
				"tag of Docker's type, nothing accepted":        "the server signs with its own key",
				"HEAD of a tag of Docker's type, none accepted": "the server signs with its own key",
			},
		},
		"Distribution 3": {
			reason: "token authentication",
			pair:   distribution3Pair,
			deviation: map[string]string{
				"page after the last tag":      "the persona returns an empty list instead of null",
				"tags of a missing repository": "the persona's token server grants no access to it",
				"tag of a missing repository":  "the persona's token server grants no access to it",
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server, persona := tc.pair(t, images)
			for _, p := range probeRequests(t, images) {
				want, got := server.send(t, p), persona.send(t, p)
				diff := cmp.Diff(want, got)
				switch reason, expected := tc.deviation[p.name]; {
				case expected && diff == "":
					t.Errorf("%s: %s: the persona no longer differs (%s)", tc.reason, p.name, reason)
				case !expected && diff != "":
					t.Errorf("%s: %s: -real +persona:\n%s", tc.reason, p.name, diff)
				}
			}
		})
	}
}

// comparedImages returns the images of both servers by tag.
func comparedImages(t *testing.T) map[string]v1.Image {
	t.Helper()
	oci, err := testenv.Image("content") // startRegistry pushes it as 1.0.0 and 1.1.0
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	docker := mutate.ConfigMediaType(mutate.MediaType(oci, types.DockerManifestSchema2), types.DockerConfigJSON)
	return map[string]v1.Image{"1.0.0": oci, "1.1.0": oci, "1.2.0": docker}
}

// The logins of a request.
const (
	loginValid = iota
	loginNone
	loginWrong
	loginOther // for another repository, if logins are per repository
)

// probe is a request to both servers.
type probe struct {
	name   string
	method string // empty for GET
	path   string // after /v2/
	accept string
	login  int
}

// probeRequests returns the requests.
func probeRequests(t *testing.T, images map[string]v1.Image) []probe {
	t.Helper()
	g := NewWithT(t)
	digest, err := images["1.2.0"].Digest()
	g.Expect(err).NotTo(HaveOccurred())
	config, err := images["1.2.0"].ConfigName()
	g.Expect(err).NotTo(HaveOccurred())
	docker, oci := string(types.DockerManifestSchema2), string(types.OCIManifestSchema1)
	missing := "sha256:" + strings.Repeat("0123", 16)
	return []probe{
		{name: "ping"},
		{name: "ping without a login", login: loginNone},
		{name: "ping with a wrong password or token", login: loginWrong},
		{name: "all tags", path: "team/app/tags/list"},
		{name: "all tags without a login", path: "team/app/tags/list", login: loginNone},
		{name: "all tags with a wrong password or token", path: "team/app/tags/list", login: loginWrong},
		{name: "all tags with a login for another repository", path: "team/app/tags/list", login: loginOther},
		{name: "first page", path: "team/app/tags/list?n=2"},
		{name: "second page", path: "team/app/tags/list?n=2&last=1.1.0"},
		{name: "page after the last tag", path: "team/app/tags/list?last=zzz"},
		{name: "page of no tag", path: "team/app/tags/list?n=0"},
		{name: "page of a bad number", path: "team/app/tags/list?n=many"},
		{name: "page of a negative number", path: "team/app/tags/list?n=-1"},
		{name: "too large a page", path: "team/app/tags/list?n=100000"},
		{name: "tags of a missing repository", path: "team/missing/tags/list"},
		{name: "tags of an invalid name", path: "Team/App/tags/list"},
		{name: "tag of Docker's type", path: "team/app/manifests/1.2.0", accept: docker},
		{name: "HEAD of a tag of Docker's type", method: http.MethodHead, path: "team/app/manifests/1.2.0", accept: docker},
		{name: "tag of Docker's type, nothing accepted", path: "team/app/manifests/1.2.0"},
		{name: "HEAD of a tag of Docker's type, none accepted", method: http.MethodHead, path: "team/app/manifests/1.2.0"},
		{name: "tag of OCI's type", path: "team/app/manifests/1.0.0", accept: docker + ", " + oci},
		{name: "tag of OCI's type, another accepted", path: "team/app/manifests/1.0.0", accept: docker},
		{name: "HEAD of a tag of OCI's type, another accepted", method: http.MethodHead, path: "team/app/manifests/1.0.0", accept: docker},
		{name: "digest", path: "team/app/manifests/" + digest.String(), accept: docker},
		{name: "HEAD of a digest", method: http.MethodHead, path: "team/app/manifests/" + digest.String(), accept: docker},
		{name: "digest, nothing accepted", path: "team/app/manifests/" + digest.String()},
		{name: "missing tag", path: "team/app/manifests/missing", accept: docker},
		{name: "HEAD of a missing tag", method: http.MethodHead, path: "team/app/manifests/missing", accept: docker},
		{name: "missing digest", path: "team/app/manifests/" + missing, accept: docker},
		{name: "tag of a missing repository", path: "team/missing/manifests/1.2.0", accept: docker},
		{name: "tag without a login", path: "team/app/manifests/1.2.0", accept: docker, login: loginNone},
		{name: "blob", path: "team/app/blobs/" + config.String()},
		{name: "missing blob", path: "team/app/blobs/" + missing},
		{name: "referrers", path: "team/app/referrers/" + digest.String()},
		{name: "referrers without a login", path: "team/app/referrers/" + digest.String(), login: loginNone},
	}
}
