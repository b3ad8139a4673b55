/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package registry

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestChallengeOf(t *testing.T) {
	type ch = authChallenge
	cases := map[string]struct {
		reason  string
		headers []string
		want    ch
	}{
		"None":     {reason: "no header", want: ch{}},
		"Basic":    {reason: "schemes have no case", headers: []string{"BASIC realm=\"x\""}, want: ch{kind: "basic", realm: "x"}},
		"Bare":     {reason: "parameters can be missing", headers: []string{"Basic"}, want: ch{kind: "basic"}},
		"Bearer":   {reason: "all that is needed", headers: []string{"Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a:pull\""}, want: ch{kind: "bearer", realm: "https://a/t", service: "s", scope: "repository:a:pull"}},
		"Unquoted": {reason: "values need no quotes, and there can be spaces", headers: []string{"Bearer  realm = https://a/t , error=\"x, y=z\" ,service=s"}, want: ch{kind: "bearer", realm: "https://a/t", service: "s"}},
		"Escaped":  {reason: "quotes can be escaped", headers: []string{"Bearer realm=\"a\\\"b\""}, want: ch{kind: "bearer", realm: "a\"b"}},
		"Several":  {reason: "the first that can be met counts", headers: []string{"Negotiate abc==, NTLM, Bearer realm=r, Basic realm=b"}, want: ch{kind: "bearer", realm: "r"}},
		"Headers":  {reason: "wherever it is", headers: []string{"Negotiate", "Basic realm=b"}, want: ch{kind: "basic", realm: "b"}},
		"Open":     {reason: "what is never closed ends with the header", headers: []string{"Bearer realm=\"r"}, want: ch{kind: "bearer", realm: "r"}},
		"Garbage":  {reason: "nobody is harmed", headers: []string{",,= \"\" ="}, want: ch{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{Header: http.Header{"Www-Authenticate": tc.headers}}
			if diff := cmp.Diff(tc.want, challengeOf(resp), cmp.AllowUnexported(ch{})); diff != "" {
				t.Errorf("%s: -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func FuzzChallengeOf(f *testing.F) {
	f.Add("Bearer realm=\"a\\\"b\",service=s, Basic")
	f.Fuzz(func(_ *testing.T, header string) {
		challengeOf(&http.Response{Header: http.Header{"Www-Authenticate": {header}}}) // ends, and does not panic
	})
}

func TestParseToken(t *testing.T) {
	begun := newFakeClock().Now()
	const date = "Mon, 01 Jun 2026 08:00:10 GMT" // the server's clock is four hours behind
	cases := map[string]struct {
		reason, body string
		want         string
		life         time.Duration
		err          error
	}{
		"Token":       {reason: "as docker has it", body: "{\"token\":\"t\",\"expires_in\":100}", want: "t", life: 90 * time.Second},
		"AccessToken": {reason: "as OAuth2 has it", body: "{\"access_token\":\"a\",\"expires_in\":3600}", want: "a", life: 3570 * time.Second},
		"NoLife":      {reason: "the protocol's default", body: "{\"token\":\"t\"}", want: "t", life: 54 * time.Second},
		"Negative":    {reason: "nonsense is no life", body: "{\"token\":\"t\",\"expires_in\":-5}", want: "t", life: 54 * time.Second},
		"Absurd":      {reason: "what is too long for a duration", body: "{\"token\":\"t\",\"expires_in\":1e300}", want: "t", life: 24*time.Hour - 30*time.Second},
		"Old":         {reason: "tokens may have been kept by the server", body: "{\"token\":\"t\",\"expires_in\":300,\"issued_at\":\"2026-06-01T08:00:00Z\"}", want: "t", life: 261 * time.Second},
		"Future":      {reason: "a token can't be younger than new", body: "{\"token\":\"t\",\"expires_in\":300,\"issued_at\":\"2027-01-01T00:00:00Z\"}", want: "t", life: 270 * time.Second},
		"OddDate":     {reason: "other dates count for nothing", body: "{\"token\":\"t\",\"expires_in\":300,\"issued_at\":\"yesterday\"}", want: "t", life: 270 * time.Second},
		"Nothing":     {reason: "no token", body: "{}", err: errNoToken},
		"Garbage":     {reason: "no JSON", body: "<html>", err: errBadTokenJSON},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseToken([]byte(tc.body), date, begun)
			if !errors.Is(err, tc.err) || got.value != tc.want {
				t.Fatalf("%s: got %q, %v", tc.reason, got.value, err)
			}
			if err == nil && got.expires.Sub(begun) != tc.life {
				t.Errorf("%s: it is used for %v, want %v", tc.reason, got.expires.Sub(begun), tc.life)
			}
		})
	}
}

func TestWhereTokensAreAskedFor(t *testing.T) {
	cases := map[string]struct {
		reason, host, scheme, realm string
		want                        bool
	}{
		"Same":          {reason: "the registry's own host", host: "r.example.com", scheme: "https", realm: "https://r.example.com/token", want: true},
		"Other":         {reason: "with TLS anywhere", host: "r.example.com", scheme: "https", realm: "https://auth.example.org/token", want: true},
		"Downgrade":     {reason: "never without", host: "r.example.com", scheme: "https", realm: "http://r.example.com/token"},
		"Plain":         {reason: "unless the registry is reached without", host: "r.example.com", scheme: "http", realm: "http://auth.example.org/token", want: true},
		"SamePrivate":   {reason: "a registry in a private network has its token server there", host: "10.0.0.1:5000", scheme: "https", realm: "https://10.0.0.1:5000/token", want: true},
		"Loopback":      {reason: "tests and laptops", host: "127.0.0.1:5000", scheme: "http", realm: "http://127.0.0.1:5001/token", want: true},
		"IntoPrivate":   {reason: "a public registry must not lead into it", host: "r.example.com", scheme: "https", realm: "https://10.0.0.1/token"},
		"IntoLoopback":  {reason: "nor to this host", host: "r.example.com", scheme: "https", realm: "https://[::1]/token"},
		"Metadata":      {reason: "nobody must lead to where clouds keep credentials", host: "127.0.0.1:5000", scheme: "http", realm: "http://169.254.169.254/latest"},
		"Unspecified":   {reason: "this host by another name", host: "127.0.0.1:5000", scheme: "http", realm: "http://0.0.0.0/token"},
		"UserInfo":      {reason: "a realm has no business with credentials", host: "r.example.com", scheme: "https", realm: "https://r.example.com@evil.example.com/"},
		"OtherProtocol": {reason: "only HTTP", host: "r.example.com", scheme: "https", realm: "file:///etc/passwd"},
		"Relative":      {reason: "a path is no address", host: "r.example.com", scheme: "https", realm: "/token"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := newDoor(tc.host, tc.scheme == "http", time.Now)
			r := &tokenRequest{login: &loggedIn{door: d}, pass: &pass{scheme: tc.scheme, challenge: authChallenge{realm: tc.realm}}}
			u, err := r.realm()
			if (err == nil) != tc.want {
				t.Errorf("%s: got %v, %v", tc.reason, u, err)
			}
			if u != nil && !strings.HasPrefix(tc.realm, (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()) {
				t.Errorf("%s: got %v", tc.reason, u)
			}
		})
	}
}
