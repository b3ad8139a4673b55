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

// newZoo returns the imitations of all products, and a client of them. The test
// fails if credentials reach a host that they are not for.
func newZoo(t *testing.T) (*registrytest.Zoo, *testClient) {
	t.Helper()
	zoo, c := registrytest.StartZoo(t), newTestClient(t)
	base := c.pool.Transport(transport.Config{})
	base.DialContext, base.TLSClientConfig.RootCAs, base.Proxy = zoo.Dial, zoo.CertPool(), nil
	t.Cleanup(func() {
		if leaks := zoo.Leaks(); len(leaks) > 0 {
			t.Errorf("credentials reached other hosts: %q", leaks)
		}
	})
	return zoo, c
}

// tokenRequests returns the queries of the requests to token servers.
func tokenRequests(t *testing.T, zoo *registrytest.Zoo) []url.Values {
	t.Helper()
	var queries []url.Values
	for _, r := range zoo.Requests() {
		if r.Kind == registrytest.Token {
			query, err := url.ParseQuery(r.Query)
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			queries = append(queries, query)
		}
	}
	return queries
}

// TestScope_IgnoresPingChallenge stands for scopes that a client takes from a
// response to another request than the operation: the placeholder of GHCR, whose
// token server refuses a request with it, the asterisk of Gitea, the word of ECR
// Public, and none at all (Google, which refuses more than it grants).
func TestScope_IgnoresPingChallenge(t *testing.T) {
	zoo, c := newZoo(t)
	for host, repo := range map[string]string{
		"ghcr.io": "stefanprodan/podinfo", "gitea.example.com": "team/app", "public.ecr.aws": "docker/library/nginx", "europe-docker.pkg.dev": "project/team/app",
	} {
		t.Run(host, func(t *testing.T) {
			g := NewWithT(t)
			zoo.Registry(host).Push(t, repo, "1.0.0")
			zoo.Reset()
			g.Expect(c.ListTags(t.Context(), parse(t, host+"/"+repo), AuthOptions{})).Error().NotTo(HaveOccurred())
			for _, query := range tokenRequests(t, zoo) {
				g.Expect(query["scope"]).To(BeComparableTo([]string{"repository:" + repo + ":pull"}))
			}
		})
	}
}

// TestScope_UsesChallengeOfOperation tests registries whose 401 to the operation names
// another scope than the usual one, as those do that serve a repository under
// another name: it is asked for alone, and remembered when the token is renewed.
func TestScope_UsesChallengeOfOperation(t *testing.T) {
	for _, asked := range []string{"repository:docker-local/app:pull", "repository:app:pull,push", "repository:app:metadata_read"} {
		t.Run(asked, func(t *testing.T) {
			g := NewWithT(t)
			var scopes [][]string
			reg, img := start(t, registrytest.WithTokenAuth("", "any"))
			reg.Inject(registrytest.Token, func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
				scopes = append(scopes, req.URL.Query()["scope"])
				_, _ = fmt.Fprintf(w, `{"token":%q,"expires_in":300}`, strings.Join(req.URL.Query()["scope"], " "))
			})
			refuse := func(scope string) registrytest.Fault {
				return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
					if req.Header.Get("Authorization") != "Bearer "+asked {
						challenge(fmt.Sprintf(`Bearer realm="http://%s/token",service="s"%s`, req.Host, scope))(w, req, next)
						return
					}
					_, _ = w.Write([]byte(`{"name":"app","tags":["1.0.0"]}`))
				}
			}
			reg.Inject(registrytest.Ping, refuse(""))
			reg.Inject(registrytest.Tags, refuse(`,scope="`+asked+`"`))
			clock := registrytest.NewClock()
			c := newTestClient(t, withClock(clock))
			for range 2 {
				g.Expect(c.ListTags(t.Context(), img, AuthOptions{})).Error().NotTo(HaveOccurred())
				clock.Advance(50 * time.Minute) // the token expires, the ping does not
			}
			want := [][]string{{"repository:app:pull"}, {asked}, {asked}}
			g.Expect(scopes).To(BeComparableTo(want))
		})
	}
}

// TestRedirect_LogsInToAnotherRegistry stands for vanity hosts: a list, a manifest and a
// blob are redirected to a registry that gives tokens to anonymous clients only by
// its own challenge. The credentials of the first host never go along.
func TestRedirect_LogsInToAnotherRegistry(t *testing.T) {
	zoo, c := newZoo(t)
	ghcr, vanity := zoo.Registry("ghcr.io"), zoo.Registry("quay.io")
	ghcr.PushTags(t, "team/app", "1.0.0", "1.1.0")
	img := parse(t, "quay.io/team/app")
	vanity.Push(t, "team/app", "0.0.1") // of which no client learns
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
			zoo.Reset()
			g.Expect(c.ListTags(t.Context(), img, auth)).Error().NotTo(HaveOccurred())
			if n := len(zoo.Requests()); n != 2 {
				t.Errorf("a scan with a known token took %d requests, want 2: %v", n, zoo.Requests())
			}
		})
	}
}

// quayPassword returns the credentials that the imitation of Quay takes.
func quayPassword() authn.AuthConfig {
	products := registrytest.Products()
	return products[slices.IndexFunc(products, func(p registrytest.Product) bool { return p.Host == "quay.io" })].Password
}

// TestRedirect_RejectsOtherChallenges tests what a redirect target gets that asks for
// a login in another way: nothing.
func TestRedirect_RejectsOtherChallenges(t *testing.T) {
	for name, tc := range map[string]struct{ reason, challenge, words string }{
		"Basic":    {reason: "credentials are the first host's", challenge: `Basic realm="x"`, words: "refused the credentials"},
		"NoScope":  {reason: "a token for no scope is of no use", challenge: `Bearer realm="https://ghcr.io/token",service="ghcr.io"`, words: "refused the credentials"},
		"Internal": {reason: "its realm is in the private network", challenge: `Bearer realm="https://10.0.0.1/token",scope="repository:team/app:pull"`, words: "not allowed"},
		"Plain":    {reason: "its realm is without TLS", challenge: `Bearer realm="http://other.example/token",scope="repository:team/app:pull"`, words: "without TLS"},
		"NoRealm":  {reason: "it names no realm", challenge: `Bearer scope="repository:team/app:pull"`, words: "without saying where"},
	} {
		t.Run(name, func(t *testing.T) {
			zoo, c := newZoo(t)
			img := parse(t, "quay.io/team/app")
			zoo.Registry("quay.io").Push(t, "team/app", "1.0.0")
			zoo.Registry("quay.io").Inject(registrytest.Tags, registrytest.RedirectHost("ghcr.io"))
			zoo.Registry("ghcr.io").Inject(registrytest.Tags, challenge(tc.challenge))
			_, err := c.ListTags(t.Context(), img, NewAuthOptions(img, quayPassword(), ""))
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(tc.words)), tc.reason)
		})
	}
}

// TestRealm_UpgradesToTLS tests registries behind a proxy that ends TLS (harbor#3933).
// Their token server is reached by https, or else not at all, with a message that
// says what to set.
func TestRealm_UpgradesToTLS(t *testing.T) {
	for name, tc := range map[string]struct {
		reason, realm string
		works         bool
		fault         registrytest.Fault // of the token server
	}{
		"SameHost":  {reason: "https on the same host has it", realm: "http://quay.io/v2/auth", works: true},
		"SamePort":  {reason: "the port of https, whatever the realm says", realm: "http://quay.io:8080/v2/auth", works: true},
		"NoServer":  {reason: "https on the same host has no token server", realm: "http://quay.io/v2/auth", fault: registrytest.Status(404, "")},
		"OtherHost": {reason: "no credentials are sent to where the registry is not", realm: "http://ghcr.io/token"},
	} {
		t.Run(name, func(t *testing.T) {
			zoo, c := newZoo(t)
			img := parse(t, "quay.io/team/app")
			zoo.Registry("quay.io").Push(t, "team/app", "1.0.0")
			zoo.Registry("quay.io").Inject(registrytest.Ping, challenge(fmt.Sprintf(`Bearer realm=%q,service="quay.io"`, tc.realm)))
			if tc.fault != nil {
				zoo.Registry("quay.io").Inject(registrytest.Token, tc.fault)
			}
			zoo.Reset()
			_, err := c.ListTags(t.Context(), img, NewAuthOptions(img, quayPassword(), ""))
			if tc.works && err != nil {
				t.Errorf("%s: %v", tc.reason, err)
			}
			if !tc.works {
				checkError(t, err, v1.ReadOperationFailedReason, "at an address without TLS", "with https")
			}
			for _, r := range zoo.Requests() {
				if r.Kind == registrytest.Token && r.Host != "quay.io" {
					t.Errorf("%s: a token was requested of %s", tc.reason, r.Host)
				}
			}
		})
	}
}
