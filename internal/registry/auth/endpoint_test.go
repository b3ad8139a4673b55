// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// respond returns a response with a status after a delay.
func respond(status int, delay time.Duration) transport.Func {
	return func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(delay):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
	}
}

// fail returns an error after a delay.
func fail(err error, delay time.Duration) transport.Func {
	return func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(delay):
			return nil, err
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
}

// TestEndpoint_FallsBackToPlainHTTPOnlyWithoutTLS tests that plain HTTP is used only if the
// registry doesn't support TLS. Otherwise a slow or broken response could make the client send
// credentials in plain text.
func TestEndpoint_FallsBackToPlainHTTPOnlyWithoutTLS(t *testing.T) {
	noTLS := errors.New("connection refused")
	cases := map[string]struct {
		reason string
		tls    transport.Func
		want   string // the scheme, "" if the ping fails
		delay  time.Duration
	}{
		"Fast":      {reason: "TLS responds immediately", tls: respond(401, 0), want: "https"},
		"Slow":      {reason: "TLS responds later than plain HTTP", tls: respond(401, 2*time.Second), want: "https", delay: 2 * time.Second},
		"Broken":    {reason: "an error status is a response", tls: respond(500, 0)},
		"SlowError": {reason: "a late error status is a response too", tls: respond(502, 2*time.Second), delay: 2 * time.Second},
		"Throttled": {reason: "a rate limit is a response", tls: fail(&transport.ThrottledError{StatusCode: 429}, 0)},
		"Refused":   {reason: "TLS is not supported", tls: fail(noTLS, 0), want: "http"},
		"LateFail":  {reason: "TLS fails late", tls: fail(noTLS, 2*time.Second), want: "http", delay: 2 * time.Second},
		"Silent":    {reason: "packets with TLS are dropped", tls: respond(200, time.Hour), want: "http", delay: tlsHeadStart + 300*time.Millisecond},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkPing(t, tc.tls, tc.want, tc.delay, tc.reason) })
		})
	}
}

// TestEndpoint_UsesTLSForNonLocalHosts tests that no plain HTTP request is sent to hosts that
// go-containerregistry treats as loopback addresses.
func TestEndpoint_UsesTLSForNonLocalHosts(t *testing.T) {
	g := NewWithT(t)
	for _, host := range []string{"[2001:db8::1]:5000", "127.0.0.1.example.com", "x127.0.0.1:5000"} {
		repo, err := name.NewRepository(host + "/app")
		g.Expect(err).NotTo(HaveOccurred())
		refused := errors.New("connection refused")
		inner := transport.Func(func(req *http.Request) (*http.Response, error) {
			if req.URL.Scheme != "https" {
				t.Errorf("%s: got a request to %s", host, req.URL)
			}
			return nil, refused
		})
		_, err = NewEndpoints(time.Now).NewSession(repo, "", authn.Anonymous).endpoint.ping(t.Context(), inner)
		g.Expect(err).To(MatchError(refused), "%s: the connection error", host)
	}
}

func checkPing(t *testing.T, tls transport.Func, want string, delay time.Duration, reason string) {
	t.Helper()
	g := NewWithT(t)
	plain := 0
	inner := transport.Func(func(req *http.Request) (*http.Response, error) {
		if req.URL.Scheme == "https" {
			return tls(req)
		}
		plain++
		return respond(200, 0)(req)
	})
	repo, err := name.NewRepository("r.example.com/app", name.Insecure)
	g.Expect(err).NotTo(HaveOccurred())
	start := time.Now()
	got, err := NewEndpoints(time.Now).NewSession(repo, "", authn.Anonymous).endpoint.ping(context.Background(), inner)
	if (err == nil) != (want != "") || err == nil && got.scheme != want {
		t.Errorf("%s: got %v, error %v, want the scheme %q", reason, got, err, want)
	}
	g.Expect(plain > 0).To(Equal(want == "http"), "%s: got %d plain HTTP requests", reason, plain)
	g.Expect(time.Since(start)).To(Equal(delay), "%s: duration", reason)
}
