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

// answer returns a response with a status after some time.
func answer(status int, after time.Duration) transport.Func {
	return func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(after):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
	}
}

// fail returns an error after some time.
func fail(err error, after time.Duration) transport.Func {
	return func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(after):
			return nil, err
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
}

// TestEndpoint_FallsBackToPlainHTTPOnlyWithoutTLS tests that a registry which may be reached by
// both schemes is reached by plain HTTP only if it has no TLS: else a slow or broken
// response would be enough for credentials to be sent in the clear.
func TestEndpoint_FallsBackToPlainHTTPOnlyWithoutTLS(t *testing.T) {
	noTLS := errors.New("connection refused")
	cases := map[string]struct {
		reason string
		tls    transport.Func
		want   string // the scheme, "" for a ping that fails
		after  time.Duration
	}{
		"Fast":      {reason: "TLS answers at once", tls: answer(401, 0), want: "https"},
		"Slow":      {reason: "TLS answers later than plain HTTP would", tls: answer(401, 2*time.Second), want: "https", after: 2 * time.Second},
		"Broken":    {reason: "an error is an answer", tls: answer(500, 0)},
		"SlowError": {reason: "so is a late one", tls: answer(502, 2*time.Second), after: 2 * time.Second},
		"Throttled": {reason: "so is the wish for a pause", tls: fail(&transport.ThrottledError{StatusCode: 429}, 0)},
		"Refused":   {reason: "there is no TLS", tls: fail(noTLS, 0), want: "http"},
		"LateFail":  {reason: "there is no TLS, which is known late", tls: fail(noTLS, 2*time.Second), want: "http", after: 2 * time.Second},
		"Silent":    {reason: "packets with TLS are dropped", tls: answer(200, time.Hour), want: "http", after: tlsPatience + 300*time.Millisecond},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkPing(t, tc.tls, tc.want, tc.after, tc.reason) })
		})
	}
}

// TestEndpoint_UsesTLSForNonLocalHosts tests that no request without TLS is
// made to hosts that go-containerregistry takes for loopback addresses.
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
		g.Expect(err).To(MatchError(refused), "%s: want that of the connection", host)
	}
}

func checkPing(t *testing.T, tls transport.Func, want string, after time.Duration, reason string) {
	t.Helper()
	g := NewWithT(t)
	plain := 0
	inner := transport.Func(func(req *http.Request) (*http.Response, error) {
		if req.URL.Scheme == "https" {
			return tls(req)
		}
		plain++
		return answer(200, 0)(req)
	})
	repo, err := name.NewRepository("r.example.com/app", name.Insecure)
	g.Expect(err).NotTo(HaveOccurred())
	begun := time.Now()
	got, err := NewEndpoints(time.Now).NewSession(repo, "", authn.Anonymous).endpoint.ping(context.Background(), inner)
	if (err == nil) != (want != "") || err == nil && got.scheme != want {
		t.Errorf("%s: got %v, error %v, want the scheme %q", reason, got, err, want)
	}
	g.Expect(plain > 0).To(Equal(want == "http"), "%s: got %d requests without TLS", reason, plain)
	g.Expect(time.Since(begun)).To(Equal(after), "%s: the time that it took", reason)
}
