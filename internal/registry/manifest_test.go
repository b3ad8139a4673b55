// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

const digestHeader = "Docker-Content-Digest"

func TestDigest(t *testing.T) {
	head := map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.ManifestHead: 1}
	both := map[registrytest.Kind]int{registrytest.Ping: 1, registrytest.ManifestHead: 1, registrytest.ManifestGet: 1}
	cases := map[string]struct {
		reason       string
		faults       map[registrytest.Kind]registrytest.Fault
		wantRequests map[registrytest.Kind]int
	}{
		"Header": {reason: "the header of a HEAD is enough", wantRequests: head},
		"NoHeader": {
			reason: "without the header anywhere, the digest is that of the manifest's bytes", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.Any: registrytest.DropHeader(digestHeader)},
		},
		"NoHeaderInHead": {
			reason: "the header of the GET agrees with the bytes", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.ManifestHead: registrytest.DropHeader(digestHeader)},
		},
		"MalformedHeader": {
			reason: "a header that is no digest counts as none", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.Any: registrytest.SetHeader(digestHeader, "sha256:123")},
		},
		"HeadNotAllowed": {
			reason: "registries that refuse HEAD are asked with GET", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.ManifestHead: registrytest.Status(405, "")},
		},
		"HeadNotImplemented": {
			reason: "there is more than one way to refuse HEAD", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.ManifestHead: registrytest.Status(501, "")},
		},
		"HeadNotFound": {
			reason: "a HEAD that answers 404 where GET has the manifest (diun#1614)", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.ManifestHead: registrytest.Status(404, "")},
		},
		"HeadForbidden": {
			reason: "a filter on the way that forbids HEAD", wantRequests: both,
			faults: map[registrytest.Kind]registrytest.Fault{registrytest.ManifestHead: registrytest.Status(403, "")},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg := registrytest.Start(t)
			want := reg.PushIndex(t, "app", "1.0.0", "linux/amd64", "linux/arm64")
			for kind, fault := range tc.faults {
				reg.Inject(kind, fault)
			}
			got, err := newTestClient(t).Digest(t.Context(), parse(t, reg.Image("app")), "1.0.0", AuthOptions{})
			if err != nil || got != want {
				t.Errorf("%s: got %s, error %v, want the digest of the index, %s", tc.reason, got, err, want)
			}
			if diff := cmp.Diff(tc.wantRequests, reg.Counts()); diff != "" {
				t.Errorf("%s: requests, -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestDigestFollowsTheTag(t *testing.T) {
	reg := registrytest.Start(t)
	c, img := newTestClient(t), parse(t, reg.Image("app"))
	for _, want := range []string{reg.Push(t, "app", "1.0.0"), reg.Push(t, "app", "2.0.0")} {
		reg.Retag(t, "app", want, "latest")
		if got, err := c.Digest(t.Context(), img, "latest", AuthOptions{}); err != nil || got != want {
			t.Errorf("got %s, error %v, want %s", got, err, want)
		}
	}
}

func TestDigestAsksForIndexesFirst(t *testing.T) {
	reg, img := start(t)
	reg.Inject(registrytest.ManifestHead, registrytest.DropHeader(digestHeader))
	if _, err := newTestClient(t).Digest(t.Context(), img, "1.0.0", AuthOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, req := range reg.Requests()[1:] {
		accept := req.Header.Get("Accept")
		if !strings.HasPrefix(accept, "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, ") {
			t.Errorf("%s accepts %q", req.Method, accept)
		}
	}
}

func TestDigestErrors(t *testing.T) {
	cases := map[string]struct {
		reason string
		tag    string
		fault  registrytest.Fault // of the GET, after a HEAD without a digest
		words  []string
	}{
		"Disagreement": {reason: "header and bytes must agree", fault: registrytest.SetHeader(digestHeader, "sha256:"+strings.Repeat("0", 64)), words: []string{"not the digest of the manifest"}},
		"HTML":         {reason: "a page has a digest too, but it is no image", fault: registrytest.HTML(), words: []string{"HTML"}},
		"Truncated":    {reason: "half a manifest has another digest", fault: registrytest.Truncate(30), words: []string{"cut off"}},
		"CutOff":       {reason: "a connection that breaks", fault: registrytest.CutOff(), words: []string{"closed the connection"}},
		"OtherJSON":    {reason: "JSON of something else", fault: registrytest.Body("", `{"schemaVersion":1}`), words: []string{"no manifest"}},
		"Huge":         {reason: "a manifest is bounded", fault: registrytest.Huge(5 << 20), words: []string{"4194304 bytes"}},
		"Missing":      {reason: "a tag that is not there", tag: "9.9.9", words: []string{"no such tag (404", ":9.9.9"}},
		"BadTag":       {reason: "a tag is a part of the address", tag: "../../x", words: []string{"not a valid"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg, img := start(t)
			if tc.fault != nil {
				reg.Inject(registrytest.ManifestHead, registrytest.DropHeader(digestHeader))
				reg.Inject(registrytest.ManifestGet, tc.fault)
			}
			tag := tc.tag
			if tag == "" {
				tag = "1.0.0"
			}
			_, err := newTestClient(t).Digest(t.Context(), img, tag, AuthOptions{})
			checkError(t, err, v1.ReadOperationFailedReason, append(tc.words, "failed to get the digest of")...)
		})
	}
}

func TestExists(t *testing.T) {
	cases := map[string]struct {
		reason, tag string
		fault       registrytest.Fault // of the HEAD
		want        bool
		wantGets    int
	}{
		"There":          {reason: "status 200", tag: "1.0.0", want: true},
		"Gone":           {reason: "GET confirms it", tag: "9.9.9", want: false, wantGets: 1},
		"HeadNotFound":   {reason: "registries that answer 404 to a HEAD alone (diun#1614)", tag: "1.0.0", fault: registrytest.Status(404, ""), want: true, wantGets: 1},
		"HeadNotAllowed": {reason: "registries without HEAD", tag: "1.0.0", fault: registrytest.Status(405, ""), want: true, wantGets: 1},
		"HeadBadRequest": {reason: "the same in another status", tag: "1.0.0", fault: registrytest.Status(400, ""), want: true, wantGets: 1},
		"HeadForbidden":  {reason: "a filter on the way that forbids HEAD", tag: "1.0.0", fault: registrytest.Status(403, ""), want: true, wantGets: 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg, img := start(t)
			if tc.fault != nil {
				reg.Inject(registrytest.ManifestHead, tc.fault)
			}
			got, err := newTestClient(t).Exists(t.Context(), img, tc.tag, AuthOptions{})
			if err != nil || got != tc.want {
				t.Errorf("%s: got %v, error %v, want %v", tc.reason, got, err, tc.want)
			}
			if heads, gets := reg.Count(registrytest.ManifestHead), reg.Count(registrytest.ManifestGet); heads != 1 || gets != tc.wantGets {
				t.Errorf("%s: got %d HEADs and %d GETs, want 1 and %d", tc.reason, heads, gets, tc.wantGets)
			}
		})
	}
}

// TestMalformedTagsDontExist tests that what is no tag is given up without a
// question, so that it can't keep a policy forever.
func TestMalformedTagsDontExist(t *testing.T) {
	reg, img := start(t)
	for _, tag := range []string{"", "a b", "../other", strings.Repeat("a", 129)} {
		if found, err := newTestClient(t).Exists(t.Context(), img, tag, AuthOptions{}); err != nil || found {
			t.Errorf("%q: got %v, error %v", tag, found, err)
		}
	}
	if heads := reg.Count(registrytest.ManifestHead); heads != 0 {
		t.Errorf("got %d HEADs, want none", heads)
	}
}

// TestExists_GETFails tests that a 404 of another server on the way is no answer,
// to HEAD or to GET.
func TestExists_GETFails(t *testing.T) {
	for code, body := range map[int]string{403: `{"errors":[{"code":"DENIED"}]}`, 404: "default backend - 404", 500: ""} {
		reg, img := start(t)
		reg.Inject(registrytest.ManifestHead, registrytest.Status(404, ""))
		reg.Inject(registrytest.ManifestGet, registrytest.Status(code, body))
		if found, err := newTestClient(t).Exists(t.Context(), img, "1.0.0", AuthOptions{}); err == nil {
			t.Errorf("status %d: got %v without an error", code, found)
		}
	}
}

func TestExistsNeverGuesses(t *testing.T) {
	reg, img := start(t)
	for _, code := range []int{401, 500, 503} {
		reg.Inject(registrytest.ManifestHead, registrytest.Status(code, ""))
		if found, err := newTestClient(t).Exists(t.Context(), img, "1.0.0", AuthOptions{}); err == nil {
			t.Errorf("status %d: got %v without an error", code, found)
		}
	}
}
