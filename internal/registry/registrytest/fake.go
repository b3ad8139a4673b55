// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/fluxcd/image-reflector-controller/internal/registry/proxytest"
)

// Product is a public registry product. Its imitation answers under the
// product's own host names.
type Product struct {
	Name       string // as documentation spells it: "GHCR"
	Host       string // as image names have it: "ghcr.io"
	Repository string // in the form that the product uses: "stefanprodan/podinfo"
	Anonymous  bool   // public images need no credentials
	// Password and IdentityToken are credentials that the product takes, zero
	// where it has no such login.
	Password, IdentityToken authn.AuthConfig
	Referrers               bool // it has the referrers API

	// install adds the product's hosts to a zoo. Products before it in
	// Products are there already.
	install func(z *Zoo, p Product)
}

// Products returns all products, in the order of the documentation.
func Products() []Product {
	return []Product{
		dockerHub(),
		ghcr(),
		lscr(),
		registryK8s(),
		quay(),
		ecr(),
		ecrPublic(),
		artifactRegistry(),
		gcr(),
		acr(),
		gitLab(),
		harbor(),
		nexus(),
		artifactory(),
		gitea(),
		zot(),
		distribution2(),
		distribution3(),
	}
}

// Zoo serves imitations of registry products under their public host names,
// over TLS, on one loopback listener. All methods are safe for concurrent use.
// It speaks HTTP/1.1, so that all faults of this package work.
type Zoo struct {
	server     *httptest.Server
	proxy      *proxytest.Proxy
	authority  Certificate
	imitations []imitation          // in the order of Products
	hosts      map[string]*Registry // by every host name of a product

	mu       sync.Mutex
	requests []Request
	leaks    []string
}

// imitation is a product with the registry that imitates it.
type imitation struct {
	product  Product
	registry *Registry
}

// StartZoo serves all products until the test ends.
func StartZoo(t testing.TB) *Zoo {
	t.Helper()
	z := &Zoo{authority: NewAuthority(t), hosts: map[string]*Registry{}}
	for _, product := range Products() {
		product.install(z, product)
	}
	z.server = httptest.NewUnstartedServer(z)
	z.server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are the clients' to report
	hosts := slices.Sorted(maps.Keys(z.hosts))
	z.server.TLS = &tls.Config{Certificates: []tls.Certificate{z.authority.Server(t, hosts...).TLS()}, MinVersion: tls.VersionTLS12}
	z.server.StartTLS()
	z.proxy = proxytest.StartHTTP(t, proxytest.WithDial(func(ctx context.Context, address string) (net.Conn, error) {
		return z.Dial(ctx, "tcp", address)
	}))
	t.Cleanup(func() {
		for _, i := range z.imitations {
			close(i.registry.closed)
		}
		z.server.Close()
	})
	return z
}

// add serves a product's registry under the product's host and the hosts that
// its options name.
func (z *Zoo) add(p Product, opts ...Option) *Registry {
	r := New(opts...)
	r.host = p.Host
	z.imitations = append(z.imitations, imitation{product: p, registry: r})
	hosts := slices.AppendSeq(r.trusted(), maps.Keys(r.sites))
	for _, host := range hosts {
		if z.hosts[host] == nil { // what two products share is the first one's
			z.hosts[host] = r
		}
	}
	return r
}

// Registry returns the images of the product that has a host. Its log has the
// requests to all hosts of the product.
func (z *Zoo) Registry(host string) *Registry { return z.hosts[host] }

// Requests returns the requests to all hosts since the last Reset, in order.
func (z *Zoo) Requests() []Request {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.requests)
}

// Reset forgets all requests and leaks.
func (z *Zoo) Reset() {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.requests, z.leaks = nil, nil
	for _, i := range z.imitations {
		i.registry.Reset()
	}
}

// ServeHTTP logs a request and passes it on to the product that has its host.
func (z *Zoo) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	req.Host = strings.TrimSuffix(req.Host, ":443")
	r, found := z.hosts[req.Host]
	if !found {
		w.WriteHeader(http.StatusMisdirectedRequest)
		return
	}
	z.note(r.kindOf(req), req)
	r.ServeHTTP(w, req)
}
