// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	. "github.com/onsi/gomega"
)

// TestPersona_RejectsInvalidCredentials tests that personas don't accept clients that their
// products reject: without credentials for a private repository, or with a wrong password.
func TestPersona_RejectsInvalidCredentials(t *testing.T) {
	for _, p := range Products() {
		if p.Password.Password == "" {
			continue // everything is public
		}
		t.Run(p.Name, func(t *testing.T) {
			g := NewWithT(t)
			fakes := StartFakeRegistries(t)
			r := fakes.Registry(p.Host)
			r.Push(t, p.Repository, "1.0.0")
			wrong := authn.AuthConfig{Username: p.Password.Username, Password: "wrong"}
			l, _ := r.login.(*tokenLogin)
			if l != nil && l.lenient {
				r.SetPrivate(p.Repository) // wrong credentials are treated as anonymous
			}
			g.Expect(list(t, fakes, p, wrong)).To(HaveOccurred(), "a wrong password was accepted")
			if l != nil && l.unbound {
				return // its tokens are valid for all repositories
			}
			r.SetPrivate(p.Repository)
			g.Expect(list(t, fakes, p, authn.AuthConfig{})).To(HaveOccurred(), "a private repository was listed without credentials")
			g.Expect(list(t, fakes, p, p.Password)).To(Succeed())
		})
	}
}

func TestPersona_ScopesTokensToRepositories(t *testing.T) {
	for _, p := range Products() {
		l, ok := StartFakeRegistries(t).Registry(p.Host).login.(*tokenLogin)
		if !ok || l.unbound {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			fakes := StartFakeRegistries(t)
			r := fakes.Registry(p.Host)
			r.Push(t, "other/app", "1.0.0")
			r.Push(t, p.Repository, "1.0.0")
			r.SetPrivate("other/app") // some products allow reading public repositories without a token
			l := r.login.(*tokenLogin)
			token := issueToken(l, p.Repository)
			got := map[string]int{}
			for _, repo := range []string{p.Repository, "other/app"} {
				header := http.Header{"Authorization": {"Bearer " + token}}
				got[repo], _ = fetch(t, fakes, http.MethodGet, "https://"+p.Host+"/v2/"+repo+"/tags/list", header)
			}
			r.ExpireTokens()
			header := http.Header{"Authorization": {"Bearer " + token}}
			got["expired"], _ = fetch(t, fakes, http.MethodGet, "https://"+p.Host+"/v2/"+p.Repository+"/tags/list", header)
			NewWithT(t).Expect(got).To(BeComparableTo(map[string]int{p.Repository: 200, "other/app": 401, "expired": 401}), "statuses")
		})
	}
}

// TestFakeRegistries_ReportLeaks tests that credentials sent to another host are reported: a
// password, a token, and an identity token in a query.
func TestFakeRegistries_ReportLeaks(t *testing.T) {
	none := func(*FakeRegistries) string { return "" }
	password := func(p Product) func(*FakeRegistries) string {
		return func(*FakeRegistries) string { return basic(p.Password).Get("Authorization") }
	}
	token := func(fakes *FakeRegistries) string { return authorization(fakes.Registry("ghcr.io").login) }
	for _, c := range []struct {
		reason, url   string
		authorization func(*FakeRegistries) string
		want          []string
	}{
		{"a product's own registry may receive its password", "https://ghcr.io/v2/", password(ghcr()), nil},
		{"a product's token server may receive its password", "https://auth.docker.io/token", password(dockerHub()), nil},
		{"another product must not receive it", "https://quay.io/v2/", password(ghcr()), []string{"GET quay.io/v2/: GHCR"}},
		{"a blob store is accessed by a signed URL, not with a token", "https://pkg-containers.githubusercontent.com/ghcr1/blobs/sha256:1",
			token, []string{"GET pkg-containers.githubusercontent.com/ghcr1/blobs/sha256:1: GHCR"}},
		{"an identity token in a query is a secret too", "https://ghcr.io/token?refresh_token=distribution-3-identity", none, []string{"GET ghcr.io/token: Distribution 3"}},
		{"lscr.io forwards GHCR's tokens and returns its challenge", "https://lscr.io/v2/", token, nil},
	} {
		fakes := StartFakeRegistries(t)
		fetch(t, fakes, http.MethodGet, c.url, http.Header{"Authorization": {c.authorization(fakes)}})
		NewWithT(t).Expect(fakes.Leaks()).To(BeComparableTo(c.want), c.reason)
	}
}

// TestFakeRegistries_RejectUnknownHosts tests that requests to an unknown host or another port
// fail. The proxy dials in the same way.
func TestFakeRegistries_RejectUnknownHosts(t *testing.T) {
	g := NewWithT(t)
	fakes := StartFakeRegistries(t)
	_, err := fakes.Dial(t.Context(), "tcp", "registry.example.net:443")
	var notFound *net.DNSError
	g.Expect(errors.As(err, &notFound)).To(BeTrue(), "unknown host: got %v, want a DNS error", err)
	g.Expect(notFound.IsNotFound).To(BeTrue(), "unknown host: got %v, want a DNS error", err)
	g.Expect(fakes.Dial(t.Context(), "tcp", "ghcr.io:80")).Error().To(MatchError(syscall.ECONNREFUSED), "other port")
}

// basic returns the Authorization header for a username and a password.
func basic(account authn.AuthConfig) http.Header {
	req := &http.Request{Header: http.Header{}}
	req.SetBasicAuth(account.Username, account.Password)
	return req.Header
}

// list lists the tags of a product's repository with the given credentials, which may be empty.
func list(t *testing.T, fakes *FakeRegistries, p Product, account authn.AuthConfig) error {
	t.Helper()
	repository, err := name.NewRepository(p.Host + "/" + p.Repository)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	_, err = remote.List(repository, remote.WithTransport(newFakeTransport(t, fakes)), remote.WithAuth(authn.FromConfig(account)), remote.WithRetryStatusCodes())
	return err
}

// newFakeTransport returns a transport that only connects to the fake registries.
func newFakeTransport(t *testing.T, fakes *FakeRegistries) *http.Transport {
	t.Helper()
	transport := &http.Transport{DialContext: fakes.Dial, TLSClientConfig: &tls.Config{RootCAs: fakes.CertPool(), MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// fetch sends one request to the fake registries, without following redirects, and returns the
// status and header of the response.
func fetch(t *testing.T, fakes *FakeRegistries, method, url string, header http.Header) (int, http.Header) {
	t.Helper()
	g := NewWithT(t)
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	g.Expect(err).NotTo(HaveOccurred())
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := newFakeTransport(t, fakes).RoundTrip(req)
	g.Expect(err).NotTo(HaveOccurred())
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// productAt returns the product that has a host.
func productAt(t *testing.T, host string) Product {
	t.Helper()
	for _, p := range Products() {
		if p.Host == host {
			return p
		}
	}
	t.Fatalf("no product has the host %s", host)
	return Product{}
}

// issueToken returns a new token for the given repositories.
func issueToken(l *tokenLogin, repositories ...string) string {
	response := l.issue(repositories)
	for _, field := range []string{"token", "access_token"} {
		if token, ok := response[field].(string); ok {
			return token
		}
	}
	return ""
}

// authorization returns an Authorization header with access to the given repositories.
func authorization(l login, repositories ...string) string {
	switch l := l.(type) {
	case *tokenLogin:
		return "Bearer " + issueToken(l, repositories...)
	case *basicLogin:
		return basic(authn.AuthConfig{Username: l.username, Password: l.password}).Get("Authorization")
	}
	return ""
}
