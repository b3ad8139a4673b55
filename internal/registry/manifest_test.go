// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

const digestHeader = "Docker-Content-Digest"

func TestDigest_UsesHeaderOrManifest(t *testing.T) {
	head := map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.ManifestHead: 1}
	both := map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.ManifestHead: 1, registrytest.ManifestGet: 1}
	cases := map[string]struct {
		reason       string
		faults       map[registrytest.Kind]registrytest.Fault
		wantRequests map[registrytest.Kind]int
	}{
		"Header": {reason: "the header of the HEAD response is sufficient", wantRequests: head},
		"NoHeader": {
			reason: "without any header, the digest is computed from the manifest", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.Any: registrytest.DropHeader(digestHeader)},
		},
		"NoHeaderInHead": {
			reason: "the header of the GET response matches the manifest", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.ManifestHead: registrytest.DropHeader(digestHeader)},
		},
		"HeadNotAllowed": {
			reason: "if HEAD is rejected, GET is sent", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.ManifestHead: registrytest.Status(405, "")},
		},
		"HeadNotImplemented": {
			reason: "HEAD may be rejected with another status", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.ManifestHead: registrytest.Status(501, "")},
		},
		"HeadNotFound": {
			reason: "HEAD returns 404 although GET returns the manifest (diun#1614)", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.ManifestHead: registrytest.Status(404, "")},
		},
		"HeadForbidden": {
			reason: "a proxy that forbids HEAD", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.ManifestHead: registrytest.Status(403, "")},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			reg := registrytest.Start(t)
			want := reg.PushIndex(t, "app", "1.0.0", "linux/amd64", "linux/arm64")
			for kind, fault := range tc.faults {
				reg.Inject(kind, fault)
			}
			g.Expect(newTestClient(t).Digest(t.Context(), parse(t, reg.Image("app")), "1.0.0", AuthOptions{})).To(Equal(want), tc.reason)
			g.Expect(reg.Counts()).To(BeComparableTo(tc.wantRequests), "%s: requests", tc.reason)
		})
	}
}

func TestDigest_AcceptsIndexesFirst(t *testing.T) {
	g := NewWithT(t)
	reg, img := start(t)
	reg.Inject(registrytest.ManifestHead, registrytest.DropHeader(digestHeader))
	g.Expect(newTestClient(t).Digest(t.Context(), img, "1.0.0", AuthOptions{})).Error().NotTo(HaveOccurred())
	for _, req := range reg.Requests()[1:] {
		accept := req.Header.Get("Accept")
		g.Expect(accept).To(HavePrefix("application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "), "%s accepts", req.Method)
	}
}

func TestExists_ConfirmsWithGet(t *testing.T) {
	cases := map[string]struct {
		reason, tag string
		fault       registrytest.Fault // of the HEAD
		want        bool
		wantGets    int
	}{
		"Exists":         {reason: "status 200", tag: "1.0.0", want: true},
		"Missing":        {reason: "GET confirms that the tag is missing", tag: "9.9.9", want: false, wantGets: 1},
		"HeadNotFound":   {reason: "registries that return 404 to HEAD only (diun#1614)", tag: "1.0.0", fault: registrytest.Status(404, ""), want: true, wantGets: 1},
		"HeadNotAllowed": {reason: "registries without support for HEAD", tag: "1.0.0", fault: registrytest.Status(405, ""), want: true, wantGets: 1},
		"HeadBadRequest": {reason: "HEAD is rejected with another status", tag: "1.0.0", fault: registrytest.Status(400, ""), want: true, wantGets: 1},
		"HeadForbidden":  {reason: "a proxy that forbids HEAD", tag: "1.0.0", fault: registrytest.Status(403, ""), want: true, wantGets: 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			reg, img := start(t)
			if tc.fault != nil {
				reg.Inject(registrytest.ManifestHead, tc.fault)
			}
			g.Expect(newTestClient(t).Exists(t.Context(), img, tc.tag, AuthOptions{})).To(Equal(tc.want), tc.reason)
			if heads, gets := reg.Count(registrytest.ManifestHead), reg.Count(registrytest.ManifestGet); heads != 1 || gets != tc.wantGets {
				t.Errorf("%s: got %d HEADs and %d GETs, want 1 and %d", tc.reason, heads, gets, tc.wantGets)
			}
		})
	}
}

// TestExists_RejectsMalformedTags tests that a malformed tag is reported as missing without a
// request, so that it can't block a policy forever.
func TestExists_RejectsMalformedTags(t *testing.T) {
	g := NewWithT(t)
	reg, img := start(t)
	for _, tag := range []string{"", "a b", "../other", strings.Repeat("a", 129)} {
		g.Expect(newTestClient(t).Exists(t.Context(), img, tag, AuthOptions{})).To(BeFalse(), "%q", tag)
	}
	g.Expect(reg.Count(registrytest.ManifestHead)).To(BeZero(), "HEADs, want none")
}

// TestExists_ReturnsErrorOnFailure tests that a failure, or a 404 of another server, is an error
// and not a missing tag. It may be the response to HEAD or to the GET that follows a 404.
func TestExists_ReturnsErrorOnFailure(t *testing.T) {
	cases := map[string]struct {
		reason    string
		head, get registrytest.Fault
	}{
		"HeadUnauthorized": {reason: "access denied", head: registrytest.Status(401, "")},
		"HeadFails":        {reason: "server error", head: registrytest.Status(500, "")},
		"HeadUnavailable":  {reason: "server unavailable", head: registrytest.Status(503, "")},
		"GetForbidden":     {reason: "access denied", head: registrytest.Status(404, ""), get: registrytest.Status(403, `{"errors":[{"code":"DENIED"}]}`)},
		"GetIngress":       {reason: "an ingress without backends", head: registrytest.Status(404, ""), get: registrytest.Status(404, "default backend - 404")},
		"GetFails":         {reason: "server error", head: registrytest.Status(404, ""), get: registrytest.Status(500, "")},
		"GetHTML":          {reason: "a login page", head: registrytest.Status(404, ""), get: registrytest.HTML()},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg, img := start(t)
			reg.Inject(registrytest.ManifestHead, tc.head)
			if tc.get != nil {
				reg.Inject(registrytest.ManifestGet, tc.get)
			}
			if found, err := newTestClient(t).Exists(t.Context(), img, "1.0.0", AuthOptions{}); err == nil {
				t.Errorf("%s: got %v without an error", tc.reason, found)
			}
		})
	}
}

// TestManifest_RejectsInvalidResponses tests invalid manifests, both for Manifest and for a Digest
// without header.
func TestManifest_RejectsInvalidResponses(t *testing.T) {
	cases := map[string]struct {
		reason, reference string // "" is the digest of the image
		fault             registrytest.Fault
		words             []string
	}{
		"OtherBytes":   {reason: "the content must match the requested digest", fault: registrytest.Body(indexType, `{"schemaVersion":2}`), words: []string{"does not have the digest", "@sha256:"}},
		"Disagreement": {reason: "the header must match the content", reference: "1.0.0", fault: registrytest.SetHeader(digestHeader, "sha256:"+strings.Repeat("0", 64)), words: []string{"not the digest of the manifest", ":1.0.0"}},
		"Ambiguous":    {reason: "the Content-Type doesn't decide about ambiguous content", reference: "both", words: []string{"an image and an index"}},
		"HTML":         {reason: "an HTML page is not an image", reference: "1.0.0", fault: registrytest.HTML(), words: []string{"HTML"}},
		"Truncated":    {reason: "a truncated manifest has another digest", reference: "1.0.0", fault: registrytest.Truncate(30), words: []string{"cut off"}},
		"CutOff":       {reason: "the connection breaks", reference: "1.0.0", fault: registrytest.CutOff(), words: []string{"closed the connection"}},
		"OtherJSON":    {reason: "other JSON", reference: "1.0.0", fault: registrytest.Body("", `{"schemaVersion":1}`), words: []string{"no manifest"}},
		"Huge":         {reason: "the size of a manifest is limited", reference: "1.0.0", fault: registrytest.Huge(5 << 20), words: []string{"4194304 bytes"}},
		"Missing":      {reason: "the tag doesn't exist", reference: "9.9.9", words: []string{"no such tag (404", ":9.9.9"}},
		"BadTag":       {reason: "an invalid tag must not become a part of the URL", reference: "../../x", words: []string{"not a valid"}},
		"BadDigest":    {reason: "an invalid digest must not become a part of the URL", reference: "sha256:../x", words: []string{"not a valid"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg := registrytest.Start(t)
			digest := reg.Push(t, "app", "1.0.0")
			reg.PushManifest(t, "app", "both", indexType, []byte(`{"schemaVersion":2,"manifests":[],"layers":[]}`))
			reg.Inject(registrytest.ManifestHead, registrytest.DropHeader(digestHeader))
			if tc.fault != nil {
				reg.Inject(registrytest.ManifestGet, tc.fault)
			}
			c, img := newTestClient(t), parse(t, reg.Image("app"))
			_, err := c.Manifest(t.Context(), img, cmp.Or(tc.reference, digest), AuthOptions{})
			checkError(t, err, v1.ReadOperationFailedReason, append(tc.words, "failed to get the manifest of")...)
			if tc.reference != "" {
				_, err := c.Digest(t.Context(), img, tc.reference, AuthOptions{})
				checkError(t, err, v1.ReadOperationFailedReason, append(tc.words, "failed to get the digest of")...)
			}
		})
	}
}
