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

// withMirror sets the TUF repository and its root.json.
func withMirror(url string, anchor []byte) PublicRootOption {
	return func(p *PublicRoot) { p.mirror, p.anchor = url, func() []byte { return anchor } }
}

// newMirroredRoot serves a TUF repository, and returns its PublicRoot with the clock.
func newMirroredRoot(t *testing.T, mirror *signaturetest.Mirror, opts ...PublicRootOption) (*PublicRoot, *time.Time) {
	t.Helper()
	server := httptest.NewServer(mirror)
	t.Cleanup(server.Close)
	clock := time.Now()
	public := NewPublicRoot(append(opts, withMirror(server.URL, mirror.Anchor))...)
	public.now = func() time.Time { return clock }
	return public, &clock
}

// TestPublicRoot_DownloadsOnceADay tests that the public root is downloaded when it is
// needed, once for all concurrent callers, and then once a day.
func TestPublicRoot_DownloadsOnceADay(t *testing.T) {
	g := NewWithT(t)
	sigstore, f := signaturetest.NewSigstore(t), newFixture(t, registrytest.WithReferrers())
	mirror := signaturetest.NewMirror(t, sigstore.TrustedRoot(t, signaturetest.RootOptions{}), 24*time.Hour)
	public, clock := newMirroredRoot(t, mirror)
	v, err := New(ruleOf(t, v1.ImageVerification{MatchOIDCIdentity: []v1.OIDCIdentityMatch{{Issuer: "issuer", Subject: "release"}}}, nil), public)
	g.Expect(err).NotTo(HaveOccurred())
	f.pushBundle(t, sigstore.Bundle(t, subjectName, issuerName, statement(f.app), logged))
	g.Expect(mirror.Requests()).To(BeZero(), "requests before the root was needed")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if got, err := v.Verify(t.Context(), f.open(t), f.img, f.app.Digest, time.Now()); err != nil || !got.Passed() {
				t.Errorf("rejected for %q, error %v", got.Reason(), err)
			}
		})
	}
	group.Wait()
	requests := mirror.Requests()
	g.Expect(requests).NotTo(BeZero(), "requests of one download")
	g.Expect(requests).To(BeNumerically("<=", 8), "requests of one download")
	*clock = clock.Add(rootFresh - time.Second)
	f.verify(t, v)
	g.Expect(mirror.Requests()).To(BeZero(), "requests on the same day")
	*clock = clock.Add(2 * time.Second)
	f.verify(t, v)
	g.Expect(mirror.Requests()).To(Equal(requests), "requests on the next day")
}

// TestPublicRoot_LimitsRetriesAfterFailure tests that a public root which is unavailable
// or not trusted is an error, and that the download is not retried by each caller.
func TestPublicRoot_LimitsRetriesAfterFailure(t *testing.T) {
	trusted := signaturetest.NewSigstore(t).TrustedRoot(t, signaturetest.RootOptions{})
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
			public, clock := newMirroredRoot(t, mirror)
			for range 3 {
				got, err := public.Get(t.Context())
				if _, unavailable := errors.AsType[*UnavailableError](err); !unavailable || got != nil || !strings.Contains(err.Error(), "can't be downloaded") {
					t.Fatalf("got the root %v and the error %v", got, err)
				}
				if text := err.Error(); !strings.Contains(text, public.mirror) || !strings.Contains(text, "spec.verify.trustedRootSecretRef") {
					t.Fatalf("the error lacks the mirror or the field of the alternative: %v", err)
				}
			}
			before := mirror.Requests()
			*clock = clock.Add(rootPause)
			g.Expect(public.Get(t.Context())).Error().To(HaveOccurred(), "the second download")
			g.Expect(mirror.Requests()).To(Equal(before), "requests of the second download")
		})
	}
}

// TestPublicRoot_ServesStaleRootOnFailure tests that a downloaded root is used for some
// time if refreshing it fails.
func TestPublicRoot_ServesStaleRootOnFailure(t *testing.T) {
	g := NewWithT(t)
	mirror := signaturetest.NewMirror(t, signaturetest.NewSigstore(t).TrustedRoot(t, signaturetest.RootOptions{}), time.Hour)
	public, clock := newMirroredRoot(t, mirror)
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
			t.Errorf("after %s: the stale root was returned", age)
		}
	}
	mirror.Fail(nil)
	*clock = clock.Add(rootPause)
	g.Expect(public.Get(t.Context())).Error().NotTo(HaveOccurred(), "after the mirror recovered")
}

// TestPublicRoot_StopsWithCaller tests that a download ends with the context of its
// caller, and that the next caller retries at once.
func TestPublicRoot_StopsWithCaller(t *testing.T) {
	g := NewWithT(t)
	mirror := signaturetest.NewMirror(t, signaturetest.NewSigstore(t).TrustedRoot(t, signaturetest.RootOptions{}), time.Hour)
	public, _ := newMirroredRoot(t, mirror)
	mirror.Fail(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	g.Expect(public.Get(ctx)).Error().To(MatchError(context.DeadlineExceeded))
	mirror.Fail(nil)
	g.Expect(public.Get(t.Context())).Error().NotTo(HaveOccurred(), "the next caller")
}

// TestPublicRoot_VerifiesCachedFolder tests that downloaded files are reused after a
// restart, and that the content of the folder is verified.
func TestPublicRoot_VerifiesCachedFolder(t *testing.T) {
	g := NewWithT(t)
	mirror := signaturetest.NewMirror(t, signaturetest.NewSigstore(t).TrustedRoot(t, signaturetest.RootOptions{}), time.Hour)
	server := httptest.NewServer(mirror)
	t.Cleanup(server.Close)
	folder := t.TempDir()
	var requests []int
	for range 2 {
		g.Expect(NewPublicRoot(withMirror(server.URL, mirror.Anchor), WithFolder(folder)).Get(t.Context())).Error().NotTo(HaveOccurred())
		requests = append(requests, mirror.Requests())
	}
	g.Expect(requests[1]).To(BeNumerically("<", requests[0]), "requests of the second download")
	other := signaturetest.NewMirror(t, signaturetest.NewSigstore(t).TrustedRoot(t, signaturetest.RootOptions{}), time.Hour)
	g.Expect(NewPublicRoot(withMirror(server.URL, other.Anchor), WithFolder(folder)).Get(t.Context())).Error().To(HaveOccurred(), "the folder of another anchor")
}

// TestPublicRoot_EmbedsAnchor tests that the defaults are the anchor and the mirror of the
// public Sigstore.
func TestPublicRoot_EmbedsAnchor(t *testing.T) {
	if public := NewPublicRoot(); !bytes.Contains(public.anchor(), []byte(`"root"`)) || !strings.HasPrefix(public.mirror, "https://") {
		t.Errorf("got the mirror %s and the anchor %.60s", public.mirror, public.anchor())
	}
}
