// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestReferrers_FallBackToTag tests registries without the referrers API: the client remembers
// that it is missing and retries after a while.
func TestReferrers_FallBackToTag(t *testing.T) {
	reg := registrytest.Start(t)
	subject := reg.Push(t, "app", "1.0.0")
	c, img := newTestClient(t), parse(t, reg.Image("app"))
	clock := time.Now()
	c.now = func() time.Time { return clock }
	check := func(want []Referrer, wantRequests int) {
		t.Helper()
		reg.Reset()
		g := NewWithT(t)
		g.Expect(c.Referrers(t.Context(), img, subject, AuthOptions{})).To(BeComparableTo(want))
		g.Expect(reg.Count(registrytest.Referrers)).To(Equal(wantRequests), "requests to the API")
		g.Expect(reg.Count(registrytest.ManifestGet)).To(Equal(1), "requests for the tag")
	}
	check(nil, 1)
	referrer := Referrer{MediaType: manifestType, Digest: subject, Size: 7, ArtifactType: "application/x", Annotations: map[string]string{"a": "b"}}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": indexType, "manifests": []Referrer{referrer}})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	reg.PushManifest(t, "app", strings.Replace(subject, ":", "-", 1), indexType, index)
	check([]Referrer{referrer}, 0)
	clock = clock.Add(noReferrersFor + time.Second)
	check([]Referrer{referrer}, 1)
}

func TestReferrers_FollowPages(t *testing.T) {
	g := NewWithT(t)
	reg := registrytest.Start(t)
	subject := reg.Push(t, "app", "1.0.0")
	pages := 0
	reg.Inject(registrytest.Referrers, func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		pages++
		w.Header().Set("Content-Type", indexType)
		if req.URL.Query().Get("page") != "last" {
			w.Header().Set("Link", fmt.Sprintf(`<%s?page=last>; rel="next"`, req.URL.Path))
		}
		_, _ = fmt.Fprintf(w, `{"schemaVersion":2,"manifests":[{"digest":"d%d"}]}`, pages)
	})
	g.Expect(newTestClient(t).Referrers(t.Context(), parse(t, reg.Image("app")), subject, AuthOptions{})).To(BeComparableTo([]Referrer{{Digest: "d1"}, {Digest: "d2"}}))
}

// TestReferrers_ReturnErrorIfUnreadable tests that an unreadable list is an error and not an empty
// list.
func TestReferrers_ReturnErrorIfUnreadable(t *testing.T) {
	endless := func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", indexType)
		w.Header().Set("Link", fmt.Sprintf(`<%s?page=more>; rel="next"`, req.URL.Path))
		_, _ = w.Write([]byte(`{"schemaVersion":2,"manifests":[]}`))
	}
	many := `{"schemaVersion":2,"manifests":[` + strings.Repeat(`{},`, maxReferrers) + `{}]}`
	index := func(body string) registrytest.Fault { return registrytest.Body(indexType, body) }
	cases := map[string]struct {
		api, tag registrytest.Fault
		reason   string
		words    []string
	}{
		"Failure":        {api: registrytest.Status(500, ""), words: []string{"500"}},
		"Refused":        {api: registrytest.Status(403, ""), tag: registrytest.Status(403, ""), reason: v1.AuthenticationFailedReason, words: []string{"403"}},
		"Throttled":      {api: registrytest.Status(429, ""), reason: v1.RateLimitedReason, words: []string{"429"}},
		"IndexOfHTML":    {api: index("<html>"), words: []string{"HTML page"}},
		"IndexCut":       {api: index(`{"schemaVersion":2,"manif`), words: []string{"malformed or cut off"}},
		"RefusedAndHTML": {api: registrytest.Status(401, ""), tag: registrytest.HTML(), words: []string{"HTML page"}},
		"OtherJSON":      {api: index(`{"manifests":[]}`), words: []string{"schema version 2"}},
		"Malformed":      {api: index(`{"schemaVersion":2,"manifests":[1]}`), words: []string{"malformed"}},
		"CutOff":         {api: registrytest.CutOff(), words: []string{"closed the connection"}},
		"TooManyPages":   {api: endless, words: []string{"16 pages"}},
		"TooMany":        {api: index(many), words: []string{"1024 referrers"}},
		"ForeignLink":    {api: foreignPage, words: []string{"another host"}},
		"TagFailure":     {tag: registrytest.Status(502, ""), words: []string{"502"}},
		"TagOfIngress":   {tag: registrytest.Status(404, "default backend - 404"), words: []string{"404"}},
		"TagIsMalformed": {tag: index(`{"schemaVersion":2,"manifests":{}}`), words: []string{"malformed"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reg := registrytest.Start(t)
			subject := reg.Push(t, "app", "1.0.0")
			if tc.api != nil {
				reg.Inject(registrytest.Referrers, tc.api)
			}
			if tc.tag != nil {
				reg.Inject(registrytest.ManifestGet, tc.tag)
			}
			if tc.reason == "" {
				tc.reason = v1.ReadOperationFailedReason
			}
			_, err := newTestClient(t).Referrers(t.Context(), parse(t, reg.Image("app")), subject, AuthOptions{})
			checkError(t, err, tc.reason, append(tc.words, "failed to list the referrers of", subject)...)
		})
	}
}

// TestReferrers_TolerateMissingAPI tests responses of registries without the referrers API, or
// without an index under the tag (cases 5, 6 and 7): the result is the content of the tag, or
// empty, without an error.
func TestReferrers_TolerateMissingAPI(t *testing.T) {
	image := func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if strings.Contains(req.URL.Path, "/manifests/sha256-") { // GitLab: oras-go#1396
			req.URL.Path = strings.Replace(req.URL.Path, "sha256-", "sha256:", 1)
		}
		next.ServeHTTP(w, req)
	}
	cases := map[string]struct {
		reason   string
		api, tag registrytest.Fault
		retries  int // minimum of API requests by a second call
	}{
		"NotFound":      {reason: "as in the specification", api: registrytest.Status(404, "")},
		"BadRequest":    {reason: "the path can't be parsed", api: registrytest.Status(400, "")},
		"NotAcceptable": {reason: "the media type is unknown", api: registrytest.Status(406, "")},
		"NotAllowed":    {reason: "the route doesn't support the method", api: registrytest.Status(405, "")},
		"NotImplement":  {reason: "the same with another status", api: registrytest.Status(501, "")},
		"Page":          {reason: "a web page with status 200 (go-containerregistry#1968)", api: registrytest.HTML()},
		"PlainText":     {reason: "plain text with status 200", api: registrytest.Body("text/plain", "ok")},
		"OtherJSON":     {reason: "JSON that is not an index", api: registrytest.Body("application/json", `{"status":"ok"}`)},
		"Empty":         {reason: "an empty body with status 200", api: registrytest.Body("", "")},
		"LoginPage":     {reason: "a redirect to an address that is not allowed", api: registrytest.Redirect("ftp://login.example.com/")},
		"LoginCircle":   {reason: "an endless redirect", api: registrytest.Redirect("")},
		"Unauthorized":  {reason: "access denied to a client that may pull", api: registrytest.Status(401, ""), retries: 1},
		"Forbidden":     {reason: "the same with another status", api: registrytest.Status(403, ""), retries: 1},
		"TagIsImage":    {reason: "the tag resolves to the image itself", tag: image},
		"TagIsManifest": {reason: "the tag points to another manifest", tag: registrytest.Body(manifestType, `{"schemaVersion":2}`)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			reg := registrytest.Start(t)
			subject := reg.PushIndex(t, "app", "1.0.0", "linux/amd64")
			if tc.api != nil {
				reg.Inject(registrytest.Referrers, tc.api)
			}
			if tc.tag != nil {
				reg.Inject(registrytest.ManifestGet, tc.tag)
			}
			c, img := newTestClient(t), parse(t, reg.Image("app"))
			got, err := c.Referrers(t.Context(), img, subject, AuthOptions{})
			g.Expect(err).NotTo(HaveOccurred(), tc.reason)
			g.Expect(got).To(BeEmpty(), tc.reason)
			reg.ClearFaults()
			if tc.api != nil {
				reg.Inject(registrytest.Referrers, tc.api)
			}
			reg.PushManifest(t, "app", strings.Replace(subject, ":", "-", 1), indexType, []byte(`{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[{"digest":"`+subject+`"}]}`))
			reg.Reset()
			got, err = c.Referrers(t.Context(), img, subject, AuthOptions{})
			if err != nil || len(got) != 1 || reg.Count(registrytest.Referrers) < tc.retries {
				t.Errorf("%s: got %v, error %v, after %d requests to the API, want at least %d", tc.reason, got, err, reg.Count(registrytest.Referrers), tc.retries)
			}
		})
	}
}

// foreignPage responds with a page of referrers that links to another host.
func foreignPage(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", indexType)
	w.Header().Set("Link", `<https://other.example/v2/>; rel="next"`)
	_, _ = w.Write([]byte(`{"schemaVersion":2,"manifests":[]}`))
}
