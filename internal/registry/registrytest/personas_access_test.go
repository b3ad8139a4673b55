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

// TestPersona_RejectsInvalidCredentials stands for imitations that are laxer than
// their products, behind which a client without the right credentials would
// pass. It tries none for a private repository, a wrong password, and a token
// that was issued for another repository.
func TestPersona_RejectsInvalidCredentials(t *testing.T) {
	for _, p := range Products() {
		if p.Password.Password == "" {
			continue // all that it has is public
		}
		t.Run(p.Name, func(t *testing.T) {
			g := NewWithT(t)
			z := StartZoo(t)
			r := z.Registry(p.Host)
			r.Push(t, p.Repository, "1.0.0")
			wrong := authn.AuthConfig{Username: p.Password.Username, Password: "wrong"}
			l, _ := r.login.(*tokenLogin)
			if l != nil && l.lenient {
				r.SetPrivate(p.Repository) // wrong credentials are as good as none
			}
			g.Expect(list(t, z, p, wrong)).To(HaveOccurred(), "a wrong password was taken")
			if l != nil && l.unbound {
				return // its tokens admit to everything
			}
			r.SetPrivate(p.Repository)
			g.Expect(list(t, z, p, authn.AuthConfig{})).To(HaveOccurred(), "a private repository was listed without credentials")
			g.Expect(list(t, z, p, p.Password)).To(Succeed())
		})
	}
}

func TestPersona_ScopesTokensToRepositories(t *testing.T) {
	for _, p := range Products() {
		l, bound := StartZoo(t).Registry(p.Host).login.(*tokenLogin)
		if !bound || l.unbound {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			z := StartZoo(t)
			r := z.Registry(p.Host)
			r.Push(t, "other/app", "1.0.0")
			r.Push(t, p.Repository, "1.0.0")
			r.SetPrivate("other/app") // that is read without a token by some
			l := r.login.(*tokenLogin)
			token := issueToken(l, p.Repository)
			got := map[string]int{}
			for _, repo := range []string{p.Repository, "other/app"} {
				header := http.Header{"Authorization": {"Bearer " + token}}
				got[repo], _ = fetch(t, z, http.MethodGet, "https://"+p.Host+"/v2/"+repo+"/tags/list", header)
			}
			r.ExpireTokens()
			header := http.Header{"Authorization": {"Bearer " + token}}
			got["expired"], _ = fetch(t, z, http.MethodGet, "https://"+p.Host+"/v2/"+p.Repository+"/tags/list", header)
			NewWithT(t).Expect(got).To(BeComparableTo(map[string]int{p.Repository: 200, "other/app": 401, "expired": 401}), "statuses")
		})
	}
}

// TestFakeRegistries_ReportLeaks stands for credentials that a client takes along to
// another host: a password, a token, an identity token in a form or query.
func TestFakeRegistries_ReportLeaks(t *testing.T) {
	none := func(*Zoo) string { return "" }
	password := func(p Product) func(*Zoo) string {
		return func(*Zoo) string { return basic(p.Password).Get("Authorization") }
	}
	token := func(z *Zoo) string { return authorization(z.Registry("ghcr.io").login) }
	for _, c := range []struct {
		reason, url   string
		authorization func(*Zoo) string
		want          []string
	}{
		{"a product's own registry may see its password", "https://ghcr.io/v2/", password(ghcr()), nil},
		{"a product's token server may see its password", "https://auth.docker.io/token", password(dockerHub()), nil},
		{"another product must not see it", "https://quay.io/v2/", password(ghcr()), []string{"GET quay.io/v2/: GHCR"}},
		{"a blob store is reached by a signed URL, not with a token", "https://pkg-containers.githubusercontent.com/ghcr1/blobs/sha256:1",
			token, []string{"GET pkg-containers.githubusercontent.com/ghcr1/blobs/sha256:1: GHCR"}},
		{"an identity token in a query is as secret as in a header", "https://ghcr.io/token?refresh_token=distribution-3-identity", none, []string{"GET ghcr.io/token: Distribution 3"}},
		{"lscr.io passes on the tokens of GHCR, whose challenge it shows", "https://lscr.io/v2/", token, nil},
	} {
		z := StartZoo(t)
		fetch(t, z, http.MethodGet, c.url, http.Header{"Authorization": {c.authorization(z)}})
		NewWithT(t).Expect(z.Leaks()).To(BeComparableTo(c.want), c.reason)
	}
}

// TestFakeRegistries_RejectUnknownHosts stands for clients that go astray without being
// noticed: to an unknown host and to another port. Its proxy dials in the same way.
func TestFakeRegistries_RejectUnknownHosts(t *testing.T) {
	g := NewWithT(t)
	z := StartZoo(t)
	_, err := z.Dial(t.Context(), "tcp", "registry.example.net:443")
	var notFound *net.DNSError
	g.Expect(errors.As(err, &notFound)).To(BeTrue(), "unknown host: got %v, want a host that is not found", err)
	g.Expect(notFound.IsNotFound).To(BeTrue(), "unknown host: got %v, want a host that is not found", err)
	g.Expect(z.Dial(t.Context(), "tcp", "ghcr.io:80")).Error().To(MatchError(syscall.ECONNREFUSED), "other port")
}

// basic is the header with a username and a password.
func basic(account authn.AuthConfig) http.Header {
	req := &http.Request{Header: http.Header{}}
	req.SetBasicAuth(account.Username, account.Password)
	return req.Header
}

// list lists the tags of a product's repository with some credentials, or with none.
func list(t *testing.T, z *Zoo, p Product, account authn.AuthConfig) error {
	t.Helper()
	repository, err := name.NewRepository(p.Host + "/" + p.Repository)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	_, err = remote.List(repository, remote.WithTransport(zooTransport(t, z)), remote.WithAuth(authn.FromConfig(account)), remote.WithRetryStatusCodes())
	return err
}

// zooTransport returns a transport that reaches nothing but the zoo.
func zooTransport(t *testing.T, z *Zoo) *http.Transport {
	t.Helper()
	transport := &http.Transport{DialContext: z.Dial, TLSClientConfig: &tls.Config{RootCAs: z.CertPool(), MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// fetch makes one request to the zoo, follows no redirect, and returns the response
// without its body.
func fetch(t *testing.T, z *Zoo, method, url string, header http.Header) (int, http.Header) {
	t.Helper()
	g := NewWithT(t)
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	g.Expect(err).NotTo(HaveOccurred())
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := zooTransport(t, z).RoundTrip(req)
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

// issueToken returns a new token for some repositories.
func issueToken(l *tokenLogin, repositories ...string) string {
	answer := l.issue(repositories)
	for _, field := range []string{"token", "access_token"} {
		if token, ok := answer[field].(string); ok {
			return token
		}
	}
	return ""
}

// authorization returns a header Authorization that admits to some repositories.
func authorization(l login, repositories ...string) string {
	switch l := l.(type) {
	case *tokenLogin:
		return "Bearer " + issueToken(l, repositories...)
	case *basicLogin:
		return basic(authn.AuthConfig{Username: l.username, Password: l.password}).Get("Authorization")
	}
	return ""
}
