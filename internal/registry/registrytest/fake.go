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

// Product is a public registry product. Its persona serves the host names of the product.
type Product struct {
	Name       string // as in the documentation: "GHCR"
	Host       string // as in image names: "ghcr.io"
	Repository string // in the product's naming scheme: "stefanprodan/podinfo"
	Anonymous  bool   // public images can be pulled without credentials
	// Password and IdentityToken are credentials that the product accepts, zero if it doesn't
	// support that login.
	Password, IdentityToken authn.AuthConfig
	Referrers               bool // the product supports the referrers API

	// install adds the product's hosts to the fake registries, after those of the preceding
	// products.
	install func(f *FakeRegistries, p Product)
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

// FakeRegistries serves personas of registry products under their public host names, over TLS, on one
// loopback listener. It speaks HTTP/1.1, so that all faults of this package work. All methods are
// safe for concurrent use.
type FakeRegistries struct {
	server    *httptest.Server
	proxy     *proxytest.Proxy
	authority Certificate
	personas  []persona            // in the order of Products
	hosts     map[string]*Registry // by host name; a product may have several

	mu       sync.Mutex
	requests []Request
	leaks    []string
}

// persona is a product and the fake registry that behaves like it.
type persona struct {
	product  Product
	registry *Registry
}

// StartFakeRegistries serves all products until the test ends.
func StartFakeRegistries(t testing.TB) *FakeRegistries {
	t.Helper()
	f := &FakeRegistries{authority: NewAuthority(t), hosts: map[string]*Registry{}}
	for _, product := range Products() {
		product.install(f, product)
	}
	f.server = httptest.NewUnstartedServer(f)
	f.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients report failed handshakes
	hosts := slices.Sorted(maps.Keys(f.hosts))
	f.server.TLS = &tls.Config{Certificates: []tls.Certificate{f.authority.Server(t, hosts...).TLS()}, MinVersion: tls.VersionTLS12}
	f.server.StartTLS()
	f.proxy = proxytest.StartHTTP(t, proxytest.WithDial(func(ctx context.Context, address string) (net.Conn, error) {
		return f.Dial(ctx, "tcp", address)
	}))
	t.Cleanup(func() {
		for _, p := range f.personas {
			close(p.registry.closed)
		}
		f.server.Close()
	})
	return f
}

// add serves a product's registry under the product's host and the hosts of its options. If two
// products share a host, the first one serves it.
func (f *FakeRegistries) add(p Product, opts ...Option) *Registry {
	r := New(opts...)
	r.host = p.Host
	f.personas = append(f.personas, persona{product: p, registry: r})
	hosts := slices.AppendSeq(r.trusted(), maps.Keys(r.sites))
	for _, host := range hosts {
		if f.hosts[host] == nil {
			f.hosts[host] = r
		}
	}
	return r
}

// Registry returns the registry of the product with this host. Its log contains the requests to
// all hosts of the product.
func (f *FakeRegistries) Registry(host string) *Registry { return f.hosts[host] }

// Requests returns the requests to all hosts since the last Reset, in order.
func (f *FakeRegistries) Requests() []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// Reset clears the logs of requests and leaks.
func (f *FakeRegistries) Reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests, f.leaks = nil, nil
	for _, p := range f.personas {
		p.registry.Reset()
	}
}

// ServeHTTP logs a request and routes it to the registry of its host.
func (f *FakeRegistries) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	req.Host = strings.TrimSuffix(req.Host, ":443")
	r, found := f.hosts[req.Host]
	if !found {
		w.WriteHeader(http.StatusMisdirectedRequest)
		return
	}
	f.record(r.kindOf(req), req)
	r.ServeHTTP(w, req)
}
