// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	ggcr "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

func TestChallengeOf_ParsesHeaders(t *testing.T) {
	params := func(fields ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(fields); i += 2 {
			m[fields[i]] = fields[i+1]
		}
		return m
	}
	cases := map[string]struct {
		reason  string
		headers []string
		scheme  string
		want    map[string]string
	}{
		"None":    {reason: "no header"},
		"Basic":   {reason: "schemes are case-insensitive", headers: []string{`BASIC realm="x"`}, scheme: "basic", want: params("realm", "x")},
		"Bare":    {reason: "parameters are optional", headers: []string{"Basic"}, scheme: "basic", want: params()},
		"Bearer":  {reason: "all parameters", headers: []string{`Bearer realm="https://a/t",service="s",scope="repository:a:pull"`}, scheme: "bearer", want: params("realm", "https://a/t", "service", "s", "scope", "repository:a:pull")},
		"Spaces":  {reason: "spaces between parameters are ignored", headers: []string{`Bearer  realm="https://a/t" , error="x, y=z" ,service=s`}, scheme: "bearer", want: params("realm", "https://a/t", "error", "x, y=z", "service", "s")},
		"Escaped": {reason: "escaped quotes", headers: []string{`Bearer realm="a\"b"`}, scheme: "bearer", want: params("realm", `a"b`)},
		"Headers": {reason: "unsupported schemes are skipped", headers: []string{"Negotiate", "Basic realm=b"}, scheme: "basic", want: params("realm", "b")},
		"Garbage": {reason: "not a challenge", headers: []string{`,,= "" =`}, scheme: `,,= "" =`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := challengeOf(context.Background(), &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": tc.headers}})
			if diff := cmp.Diff(tc.want, got.Parameters); diff != "" || got.Scheme != tc.scheme {
				t.Errorf("%s: got scheme %q, -want +got:\n%s", tc.reason, got.Scheme, diff)
			}
		})
	}
}

func FuzzChallengeOf(f *testing.F) {
	f.Add("Bearer realm=\"a\\\"b\",service=s, Basic")
	f.Fuzz(func(_ *testing.T, header string) {
		challengeOf(context.Background(), &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {header}}}) // must return without a panic
	})
}

func TestParseToken_BoundsLifetime(t *testing.T) {
	now := registrytest.NewClock().Now()
	const date = "Mon, 01 Jun 2026 08:00:10 GMT" // the server's clock is four hours behind
	cases := map[string]struct {
		reason, body string
		want         string
		lifetime     time.Duration
		err          error
	}{
		"Token":       {reason: "the field of the Docker protocol", body: "{\"token\":\"t\",\"expires_in\":100}", want: "t", lifetime: 90 * time.Second},
		"AccessToken": {reason: "the field of OAuth 2", body: "{\"access_token\":\"a\",\"expires_in\":3600}", want: "a", lifetime: 3570 * time.Second},
		"NoLife":      {reason: "the protocol's default", body: "{\"token\":\"t\"}", want: "t", lifetime: 54 * time.Second},
		"Negative":    {reason: "an invalid lifetime is the default", body: "{\"token\":\"t\",\"expires_in\":-5}", want: "t", lifetime: 54 * time.Second},
		"Absurd":      {reason: "a lifetime that exceeds a Duration", body: "{\"token\":\"t\",\"expires_in\":1e300}", want: "t", lifetime: 24*time.Hour - 30*time.Second},
		"Old":         {reason: "servers may cache tokens", body: "{\"token\":\"t\",\"expires_in\":300,\"issued_at\":\"2026-06-01T08:00:00Z\"}", want: "t", lifetime: 261 * time.Second},
		"Future":      {reason: "a date in the future is ignored", body: "{\"token\":\"t\",\"expires_in\":300,\"issued_at\":\"2027-01-01T00:00:00Z\"}", want: "t", lifetime: 270 * time.Second},
		"OddDate":     {reason: "an invalid date is ignored", body: "{\"token\":\"t\",\"expires_in\":300,\"issued_at\":\"yesterday\"}", want: "t", lifetime: 270 * time.Second},
		"StringLife":  {reason: "a number as a string (distribution#1746)", body: `{"token":"t","expires_in":"100"}`, want: "t", lifetime: 90 * time.Second},
		"PaddedLife":  {reason: "a number as a string with spaces", body: `{"token":"t","expires_in":" 100 "}`, want: "t", lifetime: 90 * time.Second},
		"FloatLife":   {reason: "a number with a fraction", body: `{"token":"t","expires_in":100.5}`, want: "t", lifetime: 90450 * time.Millisecond},
		"WordLife":    {reason: "an invalid lifetime is the default", body: `{"token":"t","expires_in":"5m"}`, want: "t", lifetime: 54 * time.Second},
		"NullLife":    {reason: "a missing lifetime is the default", body: `{"token":"t","expires_in":null,"issued_at":null}`, want: "t", lifetime: 54 * time.Second},
		"ObjectLife":  {reason: "an invalid lifetime is the default", body: `{"token":"t","expires_in":{"s":1},"issued_at":[1]}`, want: "t", lifetime: 54 * time.Second},
		"UnixDate":    {reason: "a date as a number (distribution#1746)", body: `{"token":"t","expires_in":300,"issued_at":1780300800}`, want: "t", lifetime: 261 * time.Second},
		"StringDate":  {reason: "a date as a number in a string", body: `{"token":"t","expires_in":300,"issued_at":"1780300800"}`, want: "t", lifetime: 261 * time.Second},
		"BothTokens":  {reason: "access_token takes precedence", body: `{"token":"t","access_token":"a","expires_in":100}`, want: "a", lifetime: 90 * time.Second},
		"ZeroDate":    {reason: "the zero time of Go is ignored", body: `{"token":"t","expires_in":300,"issued_at":"0001-01-01T00:00:00Z"}`, want: "t", lifetime: 270 * time.Second},
		"ZeroUnix":    {reason: "the zero time of Unix is ignored", body: `{"token":"t","expires_in":300,"issued_at":0}`, want: "t", lifetime: 270 * time.Second},
		"NaNDate":     {reason: "NaN is ignored", body: `{"token":"t","expires_in":"NaN","issued_at":"NaN"}`, want: "t", lifetime: 54 * time.Second},
		"Expired":     {reason: "a new token can't have expired", body: `{"token":"t","expires_in":5,"issued_at":"2026-06-01T08:00:00Z"}`, want: "t", lifetime: 4500 * time.Millisecond},
		"Padded":      {reason: "a trailing newline", body: `{"token":"t\n","expires_in":100}`, want: "t", lifetime: 90 * time.Second},
		"Nothing":     {reason: "no token", body: "{}", err: ErrNoToken},
		"Blank":       {reason: "a token of spaces", body: `{"token":" \n"}`, err: ErrNoToken},
		"NewLine":     {reason: "a token that is invalid in a header", body: `{"token":"a\r\nX-Evil: b","expires_in":86400}`, err: ErrNoToken},
		"Control":     {reason: "a control character is invalid in a header", body: `{"token":"a\u0000b","expires_in":86400}`, err: ErrNoToken},
		"Space":       {reason: "a space is invalid in a token", body: `{"token":"a b"}`, err: ErrNoToken},
		"NotASCII":    {reason: "only ASCII is valid in a token", body: `{"token":"\u00e9"}`, err: ErrNoToken},
		"Garbage":     {reason: "not JSON", body: "<html>", err: ErrBadToken},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got, err := parseToken([]byte(tc.body), date, now)
			g.Expect(errors.Is(err, tc.err)).To(BeTrue(), "%s: %v", tc.reason, err)
			g.Expect(got.value).To(Equal(tc.want), tc.reason)
			if err == nil && got.expires.Sub(now) != tc.lifetime {
				t.Errorf("%s: got lifetime %v, want %v", tc.reason, got.expires.Sub(now), tc.lifetime)
			}
		})
	}
}

// FuzzParseToken tests that no response results in a token without a value, or with a lifetime
// beyond the limits.
func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{
		`{"token":"t","expires_in":"300","issued_at":1780300800}`, `{"access_token":"a","expires_in":1e300}`, `{"token":1}`, `{"token":"t","issued_at":"2027-01-01T00:00:00Z"}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	now := registrytest.NewClock().Now()
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := parseToken(body, "Mon, 01 Jun 2026 08:00:10 GMT", now)
		if lifetime := got.expires.Sub(now); err == nil && (got.value == "" || lifetime < -maxTokenMargin || lifetime > maxTokenLife) {
			t.Errorf("got token %q with lifetime %v", got.value, lifetime)
		}
	})
}

func TestExchange_RejectsUnsafeRealms(t *testing.T) {
	cases := map[string]struct {
		reason, host, scheme, realm string
		want                        string // the request that is sent
	}{
		"Same":          {reason: "the registry's own host", host: "r.example.com", scheme: "https", realm: "https://r.example.com/token", want: "https://r.example.com/token"},
		"Other":         {reason: "with TLS, any host", host: "r.example.com", scheme: "https", realm: "https://auth.example.org/token", want: "https://auth.example.org/token"},
		"Downgrade":     {reason: "upgraded to https on the registry's own host (harbor#3933)", host: "r.example.com", scheme: "https", realm: "http://r.example.com/token", want: "https://r.example.com/token"},
		"DowngradePort": {reason: "the default port of https is used, regardless of the realm's port", host: "r.example.com:8443", scheme: "https", realm: "http://r.example.com:8080/token", want: "https://r.example.com/token"},
		"DowngradeIPv6": {reason: "an address in brackets", host: "[2001:db8::1]:8443", scheme: "https", realm: "http://[2001:db8::1]:80/token", want: "https://[2001:db8::1]/token"},
		"DowngradeElse": {reason: "no plain HTTP to another host", host: "r.example.com", scheme: "https", realm: "http://auth.example.com/token"},
		"DowngradeSub":  {reason: "no plain HTTP to a look-alike host", host: "r.example.com", scheme: "https", realm: "http://r.example.com.evil.example/token"},
		"Plain":         {reason: "plain HTTP is allowed if the registry uses plain HTTP", host: "r.example.com", scheme: "http", realm: "http://auth.example.org/token", want: "http://auth.example.org/token"},
		"SamePrivate":   {reason: "a private registry may have a private token server", host: "10.0.0.1:5000", scheme: "https", realm: "https://10.0.0.1:5000/token", want: "https://10.0.0.1:5000/token"},
		"Loopback":      {reason: "loopback registries of tests and laptops", host: "127.0.0.1:5000", scheme: "http", realm: "http://127.0.0.1:5001/token", want: "http://127.0.0.1:5001/token"},
		"IntoPrivate":   {reason: "a public registry must not name a private host", host: "r.example.com", scheme: "https", realm: "https://10.0.0.1/token"},
		"IntoLoopback":  {reason: "a public registry must not name this host", host: "r.example.com", scheme: "https", realm: "https://[::1]/token"},
		"Metadata":      {reason: "metadata services of clouds are never allowed", host: "127.0.0.1:5000", scheme: "http", realm: "http://169.254.169.254/latest"},
		"Unspecified":   {reason: "another address of this host", host: "127.0.0.1:5000", scheme: "http", realm: "http://0.0.0.0/token"},
		"UserInfo":      {reason: "a realm must not contain credentials", host: "r.example.com", scheme: "https", realm: "https://r.example.com@evil.example.com/"},
		"OtherProtocol": {reason: "only HTTP is allowed", host: "r.example.com", scheme: "https", realm: "file:///etc/passwd"},
		"Relative":      {reason: "a realm must be absolute", host: "r.example.com", scheme: "https", realm: "/token"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := &exchange{host: tc.host, plainHTTP: tc.scheme == "http", scheme: tc.scheme, now: time.Now}
			var requests []string
			e.inner = transport.Func(func(req *http.Request) (*http.Response, error) {
				requests = append(requests, (&url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path}).String())
				return nil, errors.New("no response")
			})
			c := &ggcr.Challenge{Scheme: schemeBearer, Parameters: map[string]string{"realm": tc.realm}}
			_, err := e.token(t.Context(), authn.Anonymous, c, "repository:app:pull")
			var want []string
			if tc.want != "" {
				want = []string{tc.want}
			}
			NewWithT(t).Expect(requests).To(BeComparableTo(want), "%s: error %v, requests", tc.reason, err)
		})
	}
}

// TestExchange_SendsCredentialsOnlyToRealm tests which requests send credentials to a token
// server, and that no other host receives them.
func TestExchange_SendsCredentialsOnlyToRealm(t *testing.T) {
	const basic = " Basic dTpw" // u:p
	for name, tc := range map[string]struct {
		reason      string
		credentials authn.AuthConfig
		status      int    // of the first response, 0 for a token
		location    string // of the redirect
		want        []string
	}{
		"Password":          {reason: "a password is sent by GET", credentials: authn.AuthConfig{Username: "u", Password: "p"}, want: []string{"GET /token" + basic}},
		"Encoded":           {reason: "an encoded password is sent by GET", credentials: authn.AuthConfig{Auth: "dTpw"}, want: []string{"GET /token" + basic}},
		"IdentityToken":     {reason: "an identity token is sent by POST", credentials: authn.AuthConfig{IdentityToken: "t"}, want: []string{"POST /token t"}},
		"NoPost":            {reason: "if POST is not supported, GET is sent", credentials: authn.AuthConfig{Username: "u", Password: "p", IdentityToken: "t"}, status: 405, want: []string{"POST /token t", "GET /token" + basic}},
		"Redirect":          {reason: "a redirect on the same host keeps the password", credentials: authn.AuthConfig{Username: "u", Password: "p"}, status: 302, location: "/next", want: []string{"GET /token" + basic, "GET /next" + basic}},
		"RedirectElsewhere": {reason: "a redirect to another host drops the password", credentials: authn.AuthConfig{Username: "u", Password: "p"}, status: 302, location: "https://other.example/next", want: []string{"GET /token" + basic, "GET /next"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var got []string
			e := &exchange{host: "r.example.com", scheme: "https", now: time.Now}
			e.inner = transport.Func(func(req *http.Request) (*http.Response, error) {
				if service := req.FormValue("service"); service != "s&p=q" && req.URL.Path == "/token" {
					t.Errorf("got the service %q", service)
				}
				credentials := req.Header.Get("Authorization")
				if req.Method == http.MethodPost {
					credentials = req.PostFormValue("refresh_token")
				}
				got = append(got, strings.TrimSpace(req.Method+" "+req.URL.Path+" "+credentials))
				resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Location": {tc.location}}, Request: req}
				if len(got) == 1 && tc.status != 0 {
					resp.StatusCode = tc.status
				}
				resp.Body = io.NopCloser(strings.NewReader(`{"token":"x"}`))
				return resp, nil
			})
			c := &ggcr.Challenge{Scheme: schemeBearer, Parameters: map[string]string{"realm": "https://auth.example.com/token", "service": "s&p=q"}}
			g.Expect(e.token(t.Context(), authn.FromConfig(tc.credentials), c, "repository:app:pull")).Error().NotTo(HaveOccurred(), tc.reason)
			g.Expect(got).To(BeComparableTo(tc.want), "%s: requests", tc.reason)
		})
	}
}
