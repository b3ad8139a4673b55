// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// echo responds with a status and an error that quotes the secrets of the request, the time and an
// ID, like careless registries do.
func echo(code int, errorCode string) registrytest.Fault {
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		_, password, _ := req.BasicAuth()
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"%s %s %s","detail":"%v"}]}`,
			errorCode, canary, password, req.Header.Get("Authorization"), time.Now())
	}
}

// TestErrors_ClassifyStatusCodes tests the errors for each status, at all steps of an operation.
func TestErrors_ClassifyStatusCodes(t *testing.T) {
	basic := []registrytest.Option{registrytest.WithBasicAuth("user", canary)}
	token := []registrytest.Option{registrytest.WithTokenAuth("user", canary)}
	cases := map[string]struct {
		reason     string
		opts       []registrytest.Option
		kind       registrytest.Kind
		fault      registrytest.Fault
		anonymous  bool
		wantReason string
		wantStatus int
		wantRetry  time.Duration
		words      []string
	}{
		"WrongPassword":  {reason: "rejected credentials", opts: []registrytest.Option{registrytest.WithBasicAuth("user", "other")}, wantReason: v1.AuthenticationFailedReason, wantStatus: 401, words: []string{`refused the credentials of Secret "regcred" (401 UNAUTHORIZED)`}},
		"WrongForToken":  {reason: "credentials rejected by the token server", opts: []registrytest.Option{registrytest.WithTokenAuth("user", "other")}, wantReason: v1.AuthenticationFailedReason, wantStatus: 401, words: []string{"refused the credentials"}},
		"Anonymous":      {reason: "no credentials", opts: basic, anonymous: true, wantReason: v1.AuthenticationFailedReason, wantStatus: 401, words: []string{"refused anonymous access", "spec.secretRef"}},
		"AnonymousToken": {reason: "no credentials", opts: token, anonymous: true, wantReason: v1.AuthenticationFailedReason, wantStatus: 401, words: []string{"refused anonymous access"}},
		"TokenDenied":    {reason: "the token server denies access", opts: token, kind: registrytest.Token, fault: echo(403, "DENIED"), wantReason: v1.AuthenticationFailedReason, wantStatus: 403, words: []string{"403 DENIED", "may pull"}},
		"NoRegistry":     {reason: "a web server that is not a registry", kind: registrytest.Ping, fault: echo(404, "x"), wantReason: v1.ReadOperationFailedReason, wantStatus: 404, words: []string{"names a registry", "404 Not Found"}},
		"PingFails":      {reason: "the ping fails", kind: registrytest.Ping, fault: echo(500, "UNKNOWN"), wantReason: v1.ReadOperationFailedReason, wantStatus: 500, words: []string{"500 UNKNOWN"}},
		"TokenFails":     {reason: "the token server is down", opts: token, kind: registrytest.Token, fault: echo(502, "no code"), wantReason: v1.ReadOperationFailedReason, wantStatus: 502, words: []string{"502 Bad Gateway"}},
		"Unavailable":    {reason: "a pause without a rate limit", kind: registrytest.Tags, fault: registrytest.RetryAfter(503, "7"), wantReason: v1.ReadOperationFailedReason, wantStatus: 503, wantRetry: 7 * time.Second, words: []string{"503"}},
		"Unavailable2":   {reason: "a 503 without Retry-After is handled like a 500", kind: registrytest.Tags, fault: registrytest.RetryAfter(503, ""), wantReason: v1.ReadOperationFailedReason, wantStatus: 503, words: []string{"503"}},
		"PingLimited":    {reason: "pings are rate limited too", kind: registrytest.Ping, fault: registrytest.RetryAfter(429, "17"), wantReason: v1.RateLimitedReason, wantStatus: 429, wantRetry: 17 * time.Second},
		"TokenLimited":   {reason: "token servers have rate limits too", opts: token, kind: registrytest.Token, fault: registrytest.RetryAfter(429, "17"), wantReason: v1.RateLimitedReason, wantStatus: 429, wantRetry: 17 * time.Second},
		"DefaultPause":   {reason: "a 429 without Retry-After gets the default", kind: registrytest.Tags, fault: registrytest.RetryAfter(429, ""), anonymous: true, wantReason: v1.RateLimitedReason, wantStatus: 429, wantRetry: time.Minute, words: []string{"raise the limit"}},
		"NoToken":        {reason: "the token server returns other JSON", opts: token, kind: registrytest.Token, fault: registrytest.Body("", `{"refresh_token":"`+canary+`"}`), wantReason: v1.ReadOperationFailedReason, words: []string{"without a token"}},
		"TokenGarbage":   {reason: "the token server returns HTML", opts: token, kind: registrytest.Token, fault: registrytest.HTML(), wantReason: v1.ReadOperationFailedReason, words: []string{"malformed JSON"}},
		"NoRealm":        {reason: "a challenge without a realm", kind: registrytest.Ping, fault: challenge(`Bearer service="` + canary + `"`), wantReason: v1.ReadOperationFailedReason, words: []string{"without naming a token server"}},
		"InternalRealm":  {reason: "a realm must not be in the private network", kind: registrytest.Ping, fault: challenge(`Bearer realm="http://169.254.169.254/?` + canary + `"`), wantReason: v1.ReadOperationFailedReason, words: []string{"not allowed"}},
		"HugeError":      {reason: "error bodies are limited too", kind: registrytest.Tags, fault: registrytest.Status(500, strings.Repeat(canary, 1<<18)), wantReason: v1.ReadOperationFailedReason, wantStatus: 500},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			reg, img := start(t, tc.opts...)
			if tc.fault != nil {
				reg.Inject(tc.kind, tc.fault)
			}
			auth := login(img)
			if tc.anonymous {
				auth = AuthOptions{}
			}
			c := newTestClient(t)
			g := NewWithT(t)
			_, first := c.ListTags(t.Context(), img, auth)
			checkError(t, first, tc.wantReason, tc.words...)
			g.Expect(errorOf(t, first)).To(And(HaveField("StatusCode", tc.wantStatus), HaveField("RetryAfter", tc.wantRetry)), tc.reason)
			_, second := c.ListTags(t.Context(), img, auth)
			g.Expect(second).To(MatchError(first.Error()), "%s: the text differs between attempts", tc.reason)
		})
	}
}

// challenge responds with status 401 and a challenge.
func challenge(header string) registrytest.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("WWW-Authenticate", header)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// networkFailures are images on unreachable registries.
var networkFailures = map[string]struct {
	reason string
	image  func(*testing.T, *testClient) image.Name
	words  []string
}{
	"Refused": {
		reason: "nothing listens",
		image:  func(t *testing.T, _ *testClient) image.Name { return parse(t, unusedAddress(t)+"/app") },
		words:  []string{"connection refused", "check the host and port"},
	},
	"NoSuchHost": {
		reason: "the name does not exist",
		image: func(t *testing.T, c *testClient) image.Name {
			c.pool.Transport(transport.Config{}).DialContext = failingDialer(&net.DNSError{Err: "no such host", Name: canary, Server: "10.0.0.1:53", IsNotFound: true})
			return parse(t, "registry.example.com/app")
		},
		words: []string{"no such host", "registry.example.com", "spec.image"},
	},
	"LookupFails": {
		reason: "the name server fails",
		image: func(t *testing.T, c *testClient) image.Name {
			c.pool.Transport(transport.Config{}).DialContext = failingDialer(&net.DNSError{Err: "server misbehaving"})
			return parse(t, "registry.example.com/app")
		},
		words: []string{"lookup", "failed"},
	},
	"OtherName": {
		reason: "a certificate of another host",
		image: func(t *testing.T, c *testClient) image.Name {
			reg := registrytest.Start(t, registrytest.WithTLS())
			trust(c, reg.CertPool())
			c.pool.Transport(transport.Config{}).DialContext = dialTo(reg.Host())
			return parse(t, "other.invalid/app")
		},
		words: []string{"not valid for that name (x509)"},
	},
	"Expired": {
		reason: "an expired certificate",
		image: func(t *testing.T, c *testClient) image.Name {
			reg := registrytest.Start(t, registrytest.WithTLS())
			trust(c, reg.CertPool())
			c.pool.Transport(transport.Config{}).TLSClientConfig.Time = func() time.Time { return time.Now().AddDate(200, 0, 0) }
			return parse(t, reg.Image("app"))
		},
		words: []string{"has expired"},
	},
	"NotHTTP": {
		reason: "another protocol",
		image: func(t *testing.T, _ *testClient) image.Name {
			return parse(t, startGreeter(t, "SSH-2.0-"+canary+"\r\n")+"/app")
		},
		words: []string{"does not speak HTTP"},
	},
}

// TestErrors_DescribeNetworkFailures tests the errors for network failures.
func TestErrors_DescribeNetworkFailures(t *testing.T) {
	for name, tc := range networkFailures {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(t)
			img := tc.image(t, c)
			_, first := c.Digest(timeout(t, 10*time.Second), img, "1.0.0", login(img))
			checkError(t, first, v1.ReadOperationFailedReason, tc.words...)
			_, second := c.Digest(timeout(t, 10*time.Second), img, "1.0.0", login(img))
			NewWithT(t).Expect(second).To(MatchError(first.Error()), "%s: the text differs between attempts", tc.reason)
		})
	}
}

// TestErrors_DoNotQuoteCauses tests errors that are hard to provoke, and that unknown errors are
// not quoted.
func TestErrors_DoNotQuoteCauses(t *testing.T) {
	op := operation{verb: opListTags, image: parse(t, "ghcr.io/org/app")}
	cases := map[string]struct {
		reason string
		err    error
		want   string
	}{
		"StreamError":  {reason: "stream IDs change", err: errors.New("stream error: stream ID 7; INTERNAL_ERROR"), want: "registry ghcr.io closed the connection in the middle of an answer"},
		"GoAway":       {reason: "the last stream ID changes too", err: errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=19"), want: "registry ghcr.io closed the connection in the middle of an answer"},
		"Unknown":      {reason: "only the type is reported", err: fmt.Errorf("wrapped: %w", errors.New(canary)), want: "the request to registry ghcr.io failed (*errors.errorString)"},
		"UnknownPair":  {reason: "attempts with and without TLS", err: errors.Join(errors.New("x"), fmt.Errorf("wrapped: %w", syscall.EMFILE)), want: "the request to registry ghcr.io failed (syscall.Errno)"},
		"Canceled":     {reason: "a shutdown", err: fmt.Errorf("x: %w", context.Canceled), want: "the operation was canceled"},
		"Timeout":      {reason: "a timeout of the transport", err: timeoutError{}, want: "registry ghcr.io did not answer in time: check that it can be reached, or raise spec.timeout"},
		"EarlyBanner":  {reason: "a banner before the request, after a failed TLS handshake", err: errors.Join(errors.New("tls: first record does not look like a TLS handshake"), errors.New("readLoopPeekFailLocked: %!w(<nil>)")), want: "registry ghcr.io does not speak HTTP"},
		"PlainHTTP":    {reason: "the usual mistake", err: errors.New("http: server gave HTTP response to HTTPS client"), want: "registry ghcr.io speaks plain HTTP: set spec.insecure only if that is intended"},
		"Login":        {reason: "the login fails with an unexpected status", err: &ggcr.Error{StatusCode: 418}, want: "registry ghcr.io does not let us log in (418 I'm a teapot): check that spec.image names a registry, and the registry's state"},
		"Translated":   {reason: "an error is translated only once", err: op.fail(errors.New("tls: x")), want: "registry ghcr.io does not agree on a TLS connection"},
		"UnknownState": {reason: "a status without a name", err: &imageStatus{status: &ggcr.Error{StatusCode: 599}}, want: "registry ghcr.io answered with an error (599)"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := "failed to list the tags of ghcr.io/org/app: " + tc.want
			NewWithT(t).Expect(op.fail(tc.err).Error()).To(Equal(want), tc.reason)
		})
	}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return canary }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// TestRetryAfter_PausesAllOperations tests that a Retry-After header, in the response to any
// request of any operation, pauses all operations: no request is sent before the end of the pause,
// and all operations succeed after it.
func TestRetryAfter_PausesAllOperations(t *testing.T) {
	date := func(d time.Duration) string {
		return registrytest.NewClock().Now().Add(d).Format("Mon, 02 Jan 2006 15:04:05 GMT")
	}
	pauses := map[string]struct {
		reason, header string
		code           int
		want           time.Duration
		wantReason     string
	}{
		"Seconds":     {reason: "the usual form", code: 429, header: "90", want: 90 * time.Second, wantReason: v1.RateLimitedReason},
		"Date":        {reason: "the other form", code: 429, header: date(5 * time.Minute), want: 5 * time.Minute, wantReason: v1.RateLimitedReason},
		"Absent":      {reason: "the default", code: 429, want: time.Minute, wantReason: v1.RateLimitedReason},
		"Unavailable": {reason: "503 pauses too", code: 503, header: "90", want: 90 * time.Second, wantReason: v1.ReadOperationFailedReason},
	}
	for name, tc := range pauses {
		for operation, read := range readers {
			for _, kind := range []registrytest.Kind{registrytest.Ping, registrytest.Token, registrytest.Any} {
				t.Run(name+"/"+operation+"/"+string(kind), func(t *testing.T) {
					g := NewWithT(t)
					reg, img := start(t, registrytest.WithTokenAuth("user", canary))
					clock := registrytest.NewClock()
					c := newTestClient(t, withClock(clock))
					removeFault := reg.Inject(kind, registrytest.RetryAfter(tc.code, tc.header))
					err := read(t.Context(), c, img, login(img))
					checkError(t, err, tc.wantReason)
					g.Expect(errorOf(t, err).RetryAfter).To(Equal(tc.want), "%s: the pause", tc.reason)
					removeFault()
					reg.Reset()
					clock.Advance(tc.want - time.Millisecond)
					for other, read := range readers {
						err := read(t.Context(), c, img, AuthOptions{}) // another identity
						checkError(t, err, tc.wantReason)
						if got := errorOf(t, err).RetryAfter; got <= 0 || got > tc.want+30*time.Second {
							t.Errorf("%s: %s is to be retried after %v", tc.reason, other, got)
						}
					}
					g.Expect(reg.Count(registrytest.Any)).To(BeZero(), "%s: requests during the pause", tc.reason)
					clock.Advance(time.Millisecond)
					for other, read := range readers {
						clock.Advance(time.Second) // there is no burst after a pause
						g.Expect(read(t.Context(), c, img, login(img))).To(Succeed(), "%s: %s after the pause", tc.reason, other)
					}
				})
			}
		}
	}
}
