// SPDX-License-Identifier: Apache-2.0

// Package registrytest provides a fake registry for tests: the in-memory registry of
// go-containerregistry, extended by authentication, paging, a request log and faults that can be
// injected and removed. FakeRegistries serves personas of public registry products, one file for each.
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

// Kind is the kind of a request.
type Kind string

// The kinds of requests.
const (
	Any          Kind = ""             // requests of all kinds, for Inject and Count
	Ping         Kind = "ping"         // GET /v2/
	Token        Kind = "token"        // to the token server
	Tags         Kind = "tags"         // a page of a tag list
	ManifestHead Kind = "manifestHead" // HEAD of a manifest
	ManifestGet  Kind = "manifestGet"  // GET of a manifest
	Blob         Kind = "blob"         // GET of a blob
	Referrers    Kind = "referrers"    // a page of a list of referrers
	Other        Kind = "other"        // all other requests, such as pushes
)

// Request is a logged request.
type Request struct {
	Kind   Kind
	Method string
	Host   string // with the port, unless it is 443
	Path   string
	Query  string
	Header http.Header
}

// Registry is a fake registry. It implements http.Handler, also for pushes over HTTP. All methods
// are safe for concurrent use.
type Registry struct {
	backend      http.Handler // stores the images, without login and faults
	login        login
	paging       paging
	behaviors    []*injection               // permanent faults, which Heal does not remove
	sites        map[string]site            // by host: blob stores, web sites
	host         string                     // empty for the listener's address
	aliases      []string                   // further hosts of the same API
	gateways     []string                   // hosts of other products that forward its tokens
	responseEdit Fault                      // changes all responses of the API; healthy changes nothing
	missing      func(*http.Request) bool   // reports whether the API doesn't serve the path
	unauthorized func(*http.Request) string // body of responses with status 401
	tls          bool
	server       *httptest.Server
	closed       chan struct{} // closed to end hanging requests

	mu          sync.Mutex
	requests    []Request
	faults      []*injection
	private     map[string]bool   // repositories that require credentials
	connections map[net.Conn]bool // open connections
	peak        int               // the maximum of open connections
}

// Option configures a new Registry.
type Option func(*Registry)

// WithBasicAuth makes the registry require a username and a password.
func WithBasicAuth(username, password string) Option {
	return func(r *Registry) { r.login = &basicLogin{username: username, password: password} }
}

// WithTokenAuth makes the registry require a token. Its token server accepts the username and the
// password, or the password as an identity token. If username is empty, it issues tokens without
// credentials.
func WithTokenAuth(username, password string) Option {
	return WithShortTokens(username, password, 5*time.Minute)
}

// WithShortTokens is WithTokenAuth with tokens of the given lifetime.
func WithShortTokens(username, password string, lifetime time.Duration) Option {
	return func(r *Registry) {
		l := &tokenLogin{service: "registrytest", lifetime: lifetime, anonymous: username == "", unbound: true, suffix: password}
		if username != "" {
			l.accounts = []authn.AuthConfig{{Username: username, Password: password, IdentityToken: password}}
		}
		r.login = l
	}
}

// WithMaxPage limits the tags of a page, regardless of the requested number.
func WithMaxPage(tags int) Option { return withPaging(paging{size: tags, max: tags}) }

// WithReferrers enables the referrers API.
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
		responseEdit: healthy,
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

// Start returns an empty registry that is served on a free loopback port until the test ends.
func Start(t testing.TB, opts ...Option) *Registry {
	t.Helper()
	r := New(opts...)
	r.server = httptest.NewUnstartedServer(r)
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients may try TLS first
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

// Host returns the host of a persona, or the address of a started registry.
func (r *Registry) Host() string {
	if r.host != "" {
		return r.host
	}
	return r.server.Listener.Addr().String()
}

// Image returns the image name of a repository.
func (r *Registry) Image(repo string) string { return r.Host() + "/" + repo }

// CertPool returns a pool with the certificate of a registry that was started with TLS.
func (r *Registry) CertPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(r.server.Certificate())
	return pool
}

// ServeHTTP logs a request, and responds with the fault that was injected for it or like a
// registry.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	kind := r.kindOf(req)
	fault := r.record(kind, req)
	fault(w, req, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.respond(kind, w, req) }))
}

// respond responds like a registry, without injected faults.
func (r *Registry) respond(kind Kind, w http.ResponseWriter, req *http.Request) {
	other, found := r.sites[req.Host]
	switch {
	case kind == Token:
		r.login.token(w, req)
	case found:
		other.handler.ServeHTTP(w, req)
	default:
		r.responseEdit(w, req, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.serveAPI(kind, w, req) }))
	}
}

// serveAPI serves the registry's API.
func (r *Registry) serveAPI(kind Kind, w http.ResponseWriter, req *http.Request) {
	switch {
	case r.missing(req):
		http.NotFound(w, req)
	case !r.login.authenticated(req):
		r.login.challenge(w, req, errorResponse{http.StatusUnauthorized, r.unauthorized(req)})
	default:
		r.withBehaviors(kind).ServeHTTP(w, req)
	}
}

// serveAuthenticated serves an authenticated request.
func (r *Registry) serveAuthenticated(w http.ResponseWriter, req *http.Request) {
	if kindOf(req) == Tags {
		r.serveTags(w, req)
		return
	}
	r.backend.ServeHTTP(w, req)
}

// record logs a request and returns the fault that was last injected for it.
func (r *Registry) record(kind Kind, req *http.Request) Fault {
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

// newRequest returns the log entry of a request.
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

// Requests returns the requests since the last Reset, without the pushes of this package.
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

// Reset clears the log of requests.
func (r *Registry) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}
