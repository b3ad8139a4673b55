// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// withMirror downloads from another TUF repository, of which anchor is the root.json.
func withMirror(url string, anchor []byte) PublicRootOption {
	return func(p *PublicRoot) { p.mirror, p.anchor = url, func() []byte { return anchor } }
}

// mirrored returns a PublicRoot of a TUF repository, and its clock.
func mirrored(t *testing.T, mirror *signaturetest.Mirror, opts ...PublicRootOption) (*PublicRoot, *time.Time) {
	t.Helper()
	server := httptest.NewServer(mirror)
	t.Cleanup(server.Close)
	clock := time.Now()
	public := NewPublicRoot(append(opts, withMirror(server.URL, mirror.Anchor))...)
	public.now = func() time.Time { return clock }
	return public, &clock
}

// TestPublicRoot_DownloadsOnceADay tests that the public root is downloaded when it is needed,
// once for everybody, and then once a day.
func TestPublicRoot_DownloadsOnceADay(t *testing.T) {
	g := NewWithT(t)
	sigstore, s := signaturetest.NewSigstore(t), newScene(t, registrytest.WithReferrers())
	mirror := signaturetest.NewMirror(t, sigstore.TrustedRoot(t, signaturetest.Parts{}), 24*time.Hour)
	public, clock := mirrored(t, mirror)
	v, err := New(ruleOf(t, v1.ImageVerification{MatchOIDCIdentity: []v1.OIDCIdentityMatch{{Issuer: "issuer", Subject: "release"}}}, nil), public)
	g.Expect(err).NotTo(HaveOccurred())
	s.pushBundle(t, sigstore.Bundle(t, subjectName, issuerName, statement(s.app), logged))
	g.Expect(mirror.Asked()).To(BeZero(), "requests were made before the root was needed")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got, err := v.Verify(t.Context(), s.open(t), s.img, s.app.Digest); err != nil || !got.Passed() {
				t.Errorf("rejected for %q, error %v", got.Reason(), err)
			}
		})
	}
	all.Wait()
	once := mirror.Asked()
	g.Expect(once).NotTo(BeZero(), "requests were made for one download")
	g.Expect(once).To(BeNumerically("<=", 8), "requests were made for one download")
	*clock = clock.Add(rootFresh - time.Second)
	s.verify(t, v)
	g.Expect(mirror.Asked()).To(BeZero(), "requests were made on the same day")
	*clock = clock.Add(2 * time.Second)
	s.verify(t, v)
	g.Expect(mirror.Asked()).To(Equal(once), "requests were made on the next day")
}

// TestPublicRoot_LimitsRetriesAfterFailure tests that a public root which can't be had, or not be
// trusted, is an error, and is not asked for by each candidate.
func TestPublicRoot_LimitsRetriesAfterFailure(t *testing.T) {
	trusted := signaturetest.NewSigstore(t).TrustedRoot(t, signaturetest.Parts{})
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	tamper := func(path string) func(*signaturetest.Mirror) {
		return func(m *signaturetest.Mirror) {
			m.Edit(path, func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1`), []byte(`"version":2`), 1) })
		}
	}
	cases := map[string]struct {
		life  time.Duration
		fault func(*signaturetest.Mirror)
	}{
		"Down":      {fault: func(m *signaturetest.Mirror) { m.Fail(status(503)) }},
		"Forbidden": {fault: func(m *signaturetest.Mirror) { m.Fail(status(403)) }},
		"NotFound":  {fault: func(m *signaturetest.Mirror) { m.Fail(status(404)) }},
		"HTML": {fault: func(m *signaturetest.Mirror) {
			m.Fail(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
		}},
		"Huge": {fault: func(m *signaturetest.Mirror) {
			m.Fail(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 6<<20)) })
		}},
		"Expired":      {life: -time.Hour, fault: func(*signaturetest.Mirror) {}},
		"BadTimestamp": {fault: tamper("/timestamp.json")},
		"BadTargets":   {fault: tamper("/1.targets.json")},
		"OtherAnchor":  {fault: func(m *signaturetest.Mirror) { m.Anchor = signaturetest.NewMirror(t, trusted, time.Hour).Anchor }},
		"NoRoot":       {fault: func(m *signaturetest.Mirror) { *m = signaturetest.Mirror{}; m.Anchor = []byte("{}") }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			if tc.life == 0 {
				tc.life = time.Hour
			}
			mirror := signaturetest.NewMirror(t, trusted, tc.life)
			tc.fault(mirror)
			public, clock := mirrored(t, mirror)
			for range 3 {
				got, err := public.Get(t.Context())
				if _, unavailable := errors.AsType[*UnavailableError](err); !unavailable || got != nil || !strings.Contains(err.Error(), "can't be downloaded") {
					t.Fatalf("got the root %v and the error %v", got, err)
				}
				if text := err.Error(); !strings.Contains(text, public.mirror) || !strings.Contains(text, "spec.verify.trustedRootSecretRef") {
					t.Fatalf("the error does not say what to reach, or which field does without: %v", err)
				}
			}
			before := mirror.Asked()
			*clock = clock.Add(rootPause)
			g.Expect(public.Get(t.Context())).Error().To(HaveOccurred(), "the second download worked")
			g.Expect(mirror.Asked()).To(Equal(before), "requests were made for one failure, and then")
		})
	}
}

// TestPublicRoot_ServesStaleRootOnFailure tests that a root which was had before is used for a while
// where no newer one can be had.
func TestPublicRoot_ServesStaleRootOnFailure(t *testing.T) {
	g := NewWithT(t)
	mirror := signaturetest.NewMirror(t, signaturetest.NewSigstore(t).TrustedRoot(t, signaturetest.Parts{}), time.Hour)
	public, clock := mirrored(t, mirror)
	g.Expect(public.Get(t.Context())).Error().NotTo(HaveOccurred())
	start := *clock
	mirror.Fail(http.NotFound)
	for _, age := range []time.Duration{rootFresh, rootFresh + time.Second, rootStale - time.Second} {
		*clock = start.Add(age)
		if got, err := public.Get(t.Context()); got == nil || err != nil {
			t.Errorf("after %s: got the error %v", age, err)
		}
	}
	for _, age := range []time.Duration{rootStale, rootStale + time.Hour} {
		*clock = start.Add(age)
		if got, err := public.Get(t.Context()); got != nil || err == nil {
			t.Errorf("after %s it is still used", age)
		}
	}
	mirror.Fail(nil)
	*clock = clock.Add(rootPause)
	g.Expect(public.Get(t.Context())).Error().NotTo(HaveOccurred(), "it did not recover")
}

// TestPublicRoot_StopsWithCaller tests that a download lasts no longer than its
// caller, and that others may try then.
func TestPublicRoot_StopsWithCaller(t *testing.T) {
	g := NewWithT(t)
	mirror := signaturetest.NewMirror(t, signaturetest.NewSigstore(t).TrustedRoot(t, signaturetest.Parts{}), time.Hour)
	public, _ := mirrored(t, mirror)
	mirror.Fail(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	g.Expect(public.Get(ctx)).Error().To(MatchError(context.DeadlineExceeded))
	mirror.Fail(nil)
	g.Expect(public.Get(t.Context())).Error().NotTo(HaveOccurred(), "nobody else may try")
}

// TestPublicRoot_VerifiesCachedFolder tests that what was downloaded is kept over restarts, and
// that nobody is trusted who can write to the folder.
func TestPublicRoot_VerifiesCachedFolder(t *testing.T) {
	g := NewWithT(t)
	mirror := signaturetest.NewMirror(t, signaturetest.NewSigstore(t).TrustedRoot(t, signaturetest.Parts{}), time.Hour)
	server := httptest.NewServer(mirror)
	t.Cleanup(server.Close)
	folder := t.TempDir()
	var asked []int
	for range 2 {
		g.Expect(NewPublicRoot(withMirror(server.URL, mirror.Anchor), WithFolder(folder)).Get(t.Context())).Error().NotTo(HaveOccurred())
		asked = append(asked, mirror.Asked())
	}
	g.Expect(asked[1]).To(BeNumerically("<", asked[0]), "requests of the first download")
	other := signaturetest.NewMirror(t, signaturetest.NewSigstore(t).TrustedRoot(t, signaturetest.Parts{}), time.Hour)
	g.Expect(NewPublicRoot(withMirror(server.URL, other.Anchor), WithFolder(folder)).Get(t.Context())).Error().To(HaveOccurred(), "the folder is believed whatever the anchor is")
}

// TestPublicRoot_EmbedsAnchor tests that the anchor of the public Sigstore is there.
func TestPublicRoot_EmbedsAnchor(t *testing.T) {
	if public := NewPublicRoot(); !bytes.Contains(public.anchor(), []byte(`"root"`)) || !strings.HasPrefix(public.mirror, "https://") {
		t.Errorf("the mirror is %s, of the anchor %.60s", public.mirror, public.anchor())
	}
}
