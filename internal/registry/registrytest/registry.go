// SPDX-License-Identifier: Apache-2.0

// Package registrytest is a registry for tests: go-containerregistry's, in
// memory, with real images, authentication, pages of tags, a log of requests,
// and faults that can be switched on and off. A Zoo has imitations of public
// registry products, one file for each, which are built of the same registry.
package registrytest

import (
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
)

// Kind is what a request is for.
type Kind string

// The kinds of requests.
const (
	Any          Kind = ""             // in Inject and Count: requests of all kinds
	Ping         Kind = "ping"         // GET /v2/
	Token        Kind = "token"        // to the token server
	Tags         Kind = "tags"         // a page of a tag list
	ManifestHead Kind = "manifestHead" // HEAD of a manifest
	ManifestGet  Kind = "manifestGet"  // GET of a manifest
	Blob         Kind = "blob"         // GET of a blob
	Referrers    Kind = "referrers"    // a page of a list of referrers
	Other        Kind = "other"        // everything that pushes
)

// Request is one request as the registry saw it.
type Request struct {
	Kind   Kind
	Method string
	Host   string // with its port, unless that is 443
	Path   string
	Query  string
	Header http.Header
}

// Registry is a registry for tests. As an http.Handler it serves images that
// were pushed over HTTP too. All methods are safe for concurrent use.
type Registry struct {
	backend      http.Handler // keeps the images, and knows no faults
	login        login
	paging       paging
	habits       []*injection               // faults that Heal leaves alone
	sites        map[string]site            // by host: blob stores and the like
	host         string                     // empty for the address that the registry is served on
	aliases      []string                   // further hosts of the same API
	fronts       []string                   // hosts of other products that pass its tokens on
	finish       Fault                      // changes all answers of the API; healthy where there is no such habit
	missing      func(*http.Request) bool   // whether the API has no such path
	unauthorized func(*http.Request) string // body of answers with status 401
	tls          bool
	server       *httptest.Server
	closed       chan struct{} // ends the requests that hang

	mu          sync.Mutex
	requests    []Request
	faults      []*injection
	private     map[string]bool   // repositories that want credentials
	connections map[net.Conn]bool // that are open
	peak        int               // the most of them at a time
}

// Option changes a Registry that is being made.
type Option func(*Registry)

// WithBasicAuth makes the registry want a username and a password.
func WithBasicAuth(username, password string) Option {
	return func(r *Registry) { r.login = &basicLogin{username: username, password: password} }
}

// WithTokenAuth makes the registry want a token, which its token server gives
// for the username and the password, or for the password as an identity token.
// Without a username it gives one to everybody.
func WithTokenAuth(username, password string) Option {
	return WithShortTokens(username, password, 5*time.Minute)
}

// WithShortTokens is WithTokenAuth with tokens that expire after some time.
func WithShortTokens(username, password string, life time.Duration) Option {
	return func(r *Registry) {
		l := &tokenLogin{service: "registrytest", life: life, anonymous: username == "", unbound: true, suffix: password}
		if username != "" {
			l.accounts = []authn.AuthConfig{{Username: username, Password: password, IdentityToken: password}}
		}
		r.login = l
	}
}

// WithMaxPage bounds the tags of a page, however many are asked for.
func WithMaxPage(tags int) Option { return withPaging(paging{size: tags, max: tags}) }

// WithReferrers makes the registry have the API that lists the referrers of a
// manifest.
func WithReferrers() Option {
	return func(r *Registry) {
		r.backend = ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true))
	}
}

// WithTLS makes Start serve HTTPS, with a certificate that CertPool trusts.
func WithTLS() Option { return func(r *Registry) { r.tls = true } }

// New returns an empty registry that is not served yet.
func New(opts ...Option) *Registry {
	r := &Registry{
		backend:      ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))),
		login:        noLogin{},
		sites:        map[string]site{},
		closed:       make(chan struct{}),
		finish:       healthy,
		missing:      func(*http.Request) bool { return false },
		unauthorized: func(*http.Request) string { return errorBody("UNAUTHORIZED", "authentication required") },

		private:     map[string]bool{},
		connections: map[net.Conn]bool{},
	}
	for _, opt := range opts {
		opt(r)
	}
	if l, ok := r.login.(*tokenLogin); ok && l.registry == nil {
		l.registry = r
	}
	return r
}

// Start returns an empty registry that is served on a free loopback port until
// the test ends.
func Start(t testing.TB, opts ...Option) *Registry {
	t.Helper()
	r := New(opts...)
	r.server = httptest.NewUnstartedServer(r)
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that try TLS first are expected
	r.server.Config.ConnState = r.connState
	if r.tls {
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
	t.Cleanup(func() {
		close(r.closed)
		r.server.Close()
	})
	return r
}

// Host returns the host of an imitation, and the address of a registry that
// was started.
func (r *Registry) Host() string {
	if r.host != "" {
		return r.host
	}
	return r.server.Listener.Addr().String()
}

// Image returns the name of one of its image repositories.
func (r *Registry) Image(repo string) string { return r.Host() + "/" + repo }

// CertPool returns the authority of a registry that was started with TLS.
func (r *Registry) CertPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(r.server.Certificate())
	return pool
}

// ServeHTTP logs a request and answers it: with the fault that was injected
// for it, or as a registry does.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	kind := r.kindOf(req)
	fault := r.note(kind, req)
	fault(w, req, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.answer(kind, w, req) }))
}

// answer answers a request as a registry does.
func (r *Registry) answer(kind Kind, w http.ResponseWriter, req *http.Request) {
	elsewhere, found := r.sites[req.Host]
	switch {
	case kind == Token:
		r.login.token(w, req)
	case found:
		elsewhere.handler.ServeHTTP(w, req)
	default:
		r.finish(w, req, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serveAPI(kind, w, req) }))
	}
}

// serveAPI answers a request to the registry's API.
func (r *Registry) serveAPI(kind Kind, w http.ResponseWriter, req *http.Request) {
	switch {
	case r.missing(req):
		http.NotFound(w, req)
	case !r.login.admits(req):
		r.login.challenge(w, req, refusal{http.StatusUnauthorized, r.unauthorized(req)})
	default:
		r.withHabits(kind).ServeHTTP(w, req)
	}
}

// admitted answers a request that is logged in.
func (r *Registry) admitted(w http.ResponseWriter, req *http.Request) {
	if kindOf(req) == Tags {
		r.serveTags(w, req)
		return
	}
	r.backend.ServeHTTP(w, req)
}

// note logs a request and returns the fault that was injected for it last.
func (r *Registry) note(kind Kind, req *http.Request) Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, newRequest(kind, req))
	for _, injected := range slices.Backward(r.faults) {
		if injected.kind == Any || injected.kind == kind {
			return injected.fault
		}
	}
	return healthy
}

// newRequest returns the entry of a request in a log.
func newRequest(kind Kind, req *http.Request) Request {
	return Request{
		Kind:   kind,
		Method: req.Method,
		Host:   req.Host,
		Path:   req.URL.Path,
		Query:  req.URL.RawQuery,
		Header: req.Header.Clone(),
	}
}

// Requests returns the requests since the last Reset, pushes of this package
// excluded.
func (r *Registry) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Count returns the number of requests of a kind since the last Reset.
func (r *Registry) Count(kind Kind) int {
	count := 0
	for _, req := range r.Requests() {
		if kind == Any || req.Kind == kind {
			count++
		}
	}
	return count
}

// Counts returns the number of requests by kind since the last Reset.
func (r *Registry) Counts() map[Kind]int {
	counts := map[Kind]int{}
	for _, req := range r.Requests() {
		counts[req.Kind]++
	}
	return counts
}

// Reset forgets the requests.
func (r *Registry) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}
