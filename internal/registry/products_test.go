// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// startFakes starts the fake registries of all products, and returns them with a client for them.
// The test fails if credentials are sent to the wrong host.
func startFakes(t *testing.T) (*registrytest.FakeRegistries, *testClient) {
	t.Helper()
	fakes, c := registrytest.StartFakeRegistries(t), newTestClient(t)
	base := c.pool.Transport(transport.Config{})
	base.DialContext, base.TLSClientConfig.RootCAs, base.Proxy = fakes.Dial, fakes.CertPool(), nil
	t.Cleanup(func() {
		if leaks := fakes.Leaks(); len(leaks) > 0 {
			t.Errorf("credentials were sent to other hosts: %q", leaks)
		}
	})
	return fakes, c
}

// tokenRequests returns the queries of the requests to token servers.
func tokenRequests(t *testing.T, fakes *registrytest.FakeRegistries) []url.Values {
	t.Helper()
	var queries []url.Values
	for _, r := range fakes.Requests() {
		if r.Kind == registrytest.Token {
			query, err := url.ParseQuery(r.Query)
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			queries = append(queries, query)
		}
	}
	return queries
}

// TestScope_IgnoresPingChallenge tests that the client doesn't use the scope of the challenge to a
// ping: the placeholder of GHCR, which its token server rejects, the asterisk of Gitea, the word
// of ECR Public, and no scope at all (Google rejects excess scopes).
func TestScope_IgnoresPingChallenge(t *testing.T) {
	fakes, c := startFakes(t)
	for host, repo := range map[string]string{
		"ghcr.io": "stefanprodan/podinfo", "gitea.example.com": "team/app", "public.ecr.aws": "docker/library/nginx", "europe-docker.pkg.dev": "project/team/app",
	} {
		t.Run(host, func(t *testing.T) {
			g := NewWithT(t)
			fakes.Registry(host).Push(t, repo, "1.0.0")
			fakes.Reset()
			g.Expect(c.ListTags(t.Context(), parse(t, host+"/"+repo), AuthOptions{})).Error().NotTo(HaveOccurred())
			for _, query := range tokenRequests(t, fakes) {
				g.Expect(query["scope"]).To(BeComparableTo([]string{"repository:" + repo + ":pull"}))
			}
		})
	}
}

// TestScope_UsesChallengeOfOperation tests registries that respond to the operation with a
// challenge for another scope, for example because they serve the repository under another name.
// Only this scope is requested, also when the token is renewed.
func TestScope_UsesChallengeOfOperation(t *testing.T) {
	for _, scope := range []string{"repository:docker-local/app:pull", "repository:app:pull,push", "repository:app:metadata_read"} {
		t.Run(scope, func(t *testing.T) {
			g := NewWithT(t)
			var scopes [][]string
			reg, img := start(t, registrytest.WithTokenAuth("", "any"))
			reg.Inject(registrytest.Token, func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
				scopes = append(scopes, req.URL.Query()["scope"])
				_, _ = fmt.Fprintf(w, `{"token":%q,"expires_in":300}`, strings.Join(req.URL.Query()["scope"], " "))
			})
			requireToken := func(parameter string) registrytest.Fault {
				return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
					if req.Header.Get("Authorization") != "Bearer "+scope {
						challenge(fmt.Sprintf(`Bearer realm="http://%s/token",service="s"%s`, req.Host, parameter))(w, req, next)
						return
					}
					_, _ = w.Write([]byte(`{"name":"app","tags":["1.0.0"]}`))
				}
			}
			reg.Inject(registrytest.Ping, requireToken(""))
			reg.Inject(registrytest.Tags, requireToken(`,scope="`+scope+`"`))
			clock := registrytest.NewClock()
			c := newTestClient(t, withClock(clock))
			for range 2 {
				g.Expect(c.ListTags(t.Context(), img, AuthOptions{})).Error().NotTo(HaveOccurred())
				clock.Advance(50 * time.Minute) // the token expires, the cached ping doesn't
			}
			want := [][]string{{"repository:app:pull"}, {scope}, {scope}}
			g.Expect(scopes).To(BeComparableTo(want))
		})
	}
}

// TestRedirect_LogsInToAnotherRegistry tests vanity hosts: requests for a list, a manifest and a
// blob are redirected to a registry with its own challenge for anonymous tokens. It never receives
// the credentials of the first host.
func TestRedirect_LogsInToAnotherRegistry(t *testing.T) {
	fakes, c := startFakes(t)
	ghcr, vanity := fakes.Registry("ghcr.io"), fakes.Registry("quay.io")
	ghcr.PushTags(t, "team/app", "1.0.0", "1.1.0")
	img := parse(t, "quay.io/team/app")
	vanity.Push(t, "team/app", "0.0.1") // must not be returned to a client
	vanity.Inject(registrytest.Any, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if req.Host == "quay.io" && strings.HasPrefix(req.URL.Path, "/v2/team/") {
			registrytest.RedirectHost("ghcr.io")(w, req, next)
			return
		}
		next.ServeHTTP(w, req)
	})
	for name, auth := range map[string]AuthOptions{
		"Anonymous": {},
		"Password":  NewAuthOptions(img, quayPassword(), ""),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(c.ListTags(t.Context(), img, auth)).To(BeComparableTo([]string{"1.0.0", "1.1.0"}), "tags")
			digest, err := c.Digest(t.Context(), img, "1.1.0", auth)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(c.Manifest(t.Context(), img, digest, auth)).To(HaveField("Digest", digest))
			fakes.Reset()
			g.Expect(c.ListTags(t.Context(), img, auth)).Error().NotTo(HaveOccurred())
			if n := len(fakes.Requests()); n != 2 {
				t.Errorf("a scan with a cached token took %d requests, want 2: %v", n, fakes.Requests())
			}
		})
	}
}

// quayPassword returns the credentials that the persona of Quay accepts.
func quayPassword() authn.AuthConfig {
	products := registrytest.Products()
	return products[slices.IndexFunc(products, func(p registrytest.Product) bool { return p.Host == "quay.io" })].Password
}

// TestRedirect_RejectsOtherChallenges tests that a redirect target receives nothing if it requires
// another kind of login.
func TestRedirect_RejectsOtherChallenges(t *testing.T) {
	for name, tc := range map[string]struct{ reason, challenge, words string }{
		"Basic":    {reason: "credentials belong to the first host", challenge: `Basic realm="x"`, words: "refused the credentials"},
		"NoScope":  {reason: "a token without a scope is useless", challenge: `Bearer realm="https://ghcr.io/token",service="ghcr.io"`, words: "refused the credentials"},
		"Internal": {reason: "its realm is in the private network", challenge: `Bearer realm="https://10.0.0.1/token",scope="repository:team/app:pull"`, words: "not allowed"},
		"Plain":    {reason: "its realm uses plain HTTP", challenge: `Bearer realm="http://other.example/token",scope="repository:team/app:pull"`, words: "without TLS"},
		"NoRealm":  {reason: "it has no realm", challenge: `Bearer scope="repository:team/app:pull"`, words: "without naming a token server"},
	} {
		t.Run(name, func(t *testing.T) {
			fakes, c := startFakes(t)
			img := parse(t, "quay.io/team/app")
			fakes.Registry("quay.io").Push(t, "team/app", "1.0.0")
			fakes.Registry("quay.io").Inject(registrytest.Tags, registrytest.RedirectHost("ghcr.io"))
			fakes.Registry("ghcr.io").Inject(registrytest.Tags, challenge(tc.challenge))
			_, err := c.ListTags(t.Context(), img, NewAuthOptions(img, quayPassword(), ""))
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(tc.words)), tc.reason)
		})
	}
}

// TestRealm_UpgradesToTLS tests registries behind a proxy that terminates TLS (harbor#3933). Their
// token server is accessed by https. If that fails, the error names the setting to change.
func TestRealm_UpgradesToTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		reason, realm string
		wantSuccess   bool
		fault         registrytest.Fault // of the token server
	}{
		"SameHost":  {reason: "https on the same host serves tokens", realm: "http://quay.io/v2/auth", wantSuccess: true},
		"SamePort":  {reason: "the default port of https is used, regardless of the realm's port", realm: "http://quay.io:8080/v2/auth", wantSuccess: true},
		"NoServer":  {reason: "https on the same host doesn't serve tokens", realm: "http://quay.io/v2/auth", fault: registrytest.Status(404, "")},
		"OtherHost": {reason: "no credentials are sent to another host by plain HTTP", realm: "http://ghcr.io/token"},
	} {
		t.Run(name, func(t *testing.T) {
			fakes, c := startFakes(t)
			img := parse(t, "quay.io/team/app")
			fakes.Registry("quay.io").Push(t, "team/app", "1.0.0")
			fakes.Registry("quay.io").Inject(registrytest.Ping, challenge(fmt.Sprintf(`Bearer realm=%q,service="quay.io"`, tc.realm)))
			if tc.fault != nil {
				fakes.Registry("quay.io").Inject(registrytest.Token, tc.fault)
			}
			fakes.Reset()
			_, err := c.ListTags(t.Context(), img, NewAuthOptions(img, quayPassword(), ""))
			if tc.wantSuccess && err != nil {
				t.Errorf("%s: %v", tc.reason, err)
			}
			if !tc.wantSuccess {
				checkError(t, err, v1.ReadOperationFailedReason, "at an address without TLS", "with https")
			}
			for _, r := range fakes.Requests() {
				if r.Kind == registrytest.Token && r.Host != "quay.io" {
					t.Errorf("%s: a token was requested from %s", tc.reason, r.Host)
				}
			}
		})
	}
}
