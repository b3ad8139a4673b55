// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/auth"
	"github.com/fluxcd/image-reflector-controller/internal/registry/mirrors"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

const (
	// maxSessions bounds the cached sessions. A session has a few thousand bytes,
	// mostly its token.
	maxSessions = 20_000
	// sessionIdle is how long an unused session is cached.
	sessionIdle = 2 * time.Hour
)

// session caches the authorization and the capabilities of an image repository under
// one identity, for all Repository values with that name and identity.
type session struct {
	auth         *auth.Session
	capabilities capabilities
}

// sessionKey identifies a session. A changed password is another identity, so the
// next operation uses it.
type sessionKey struct {
	name      string
	plainHTTP bool
	identity  string
}

// session returns the session of an image repository under an identity.
func (c *Client) session(img image.Name, auth AuthOptions) *session {
	repo := img.Repository()
	key := sessionKey{name: img.Canonical(), plainHTTP: isPlainHTTP(img), identity: auth.Identity()}
	return c.sessions.Get(key, func() *session {
		return &session{auth: c.endpoints.NewSession(repo, auth.Transport.Key, auth.Authenticator())}
	})
}

// isPlainHTTP reports whether the registry of an image may be reached without TLS.
func isPlainHTTP(img image.Name) bool { return transport.PlainHTTP(img.Repository().Registry) }

// Repository is an image repository in a registry, and at the mirrors of the registry. Its
// operations end with their context. It is safe for concurrent use.
type Repository struct {
	client *Client
	access Access
	hosts  []*host // in the order in which they are tried, usually only the origin
}

// Close releases the tickets of limiters. Operations in flight continue, but Close waits
// while one of them reads the credentials.
func (r *Repository) Close() {
	for _, h := range r.hosts {
		h.close(context.Background()) //nolint:forbidigo // the ticket is released even if the caller's context has ended
	}
}

// host is an image repository at one registry host.
type host struct {
	client *Client
	access Access // the image is the one at this host
	mirror mirrors.Host

	failure atomic.Pointer[Error] // of an earlier operation at this mirror

	lock   *semaphore.Weighted // held while the credentials are read
	ticket *ratelimit.Ticket   // nil until admitted
	opened *connection         // nil until the credentials have been read
}

// connection is shared by the operations of an admitted repository.
type connection struct {
	*session
	auth AuthOptions
	http *http.Client
	// scheme is the scheme of URLs, until package auth replaces it.
	scheme string
	// namespace is the registry whose images a mirror has, "" at the origin.
	namespace string
}

// close releases the limiter's ticket, unless the context ends while an operation reads the
// credentials.
func (h *host) close(ctx context.Context) {
	if h.lock.Acquire(ctx, 1) != nil {
		return
	}
	defer h.lock.Release(1)
	if h.ticket != nil {
		h.ticket.Release()
	}
	h.ticket, h.opened = nil, nil
}

// connect acquires a ticket and reads the credentials, unless an earlier operation did.
func (h *host) connect(ctx context.Context) (*connection, error) {
	if err := h.lock.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer h.lock.Release(1)
	if h.opened != nil {
		return h.opened, nil
	}
	if err := h.admit(); err != nil {
		return nil, err
	}
	auth, err := h.access.auth(ctx)
	if err != nil {
		return nil, err
	}
	if !auth.IsFor(h.access.Image) {
		return nil, transport.ProtocolError("the credentials are for another registry")
	}
	s := h.client.session(h.access.Image, auth)
	plainHTTP, scheme := isPlainHTTP(h.access.Image), "https"
	if plainHTTP {
		scheme = "http"
	}
	stack := h.client.newStack(h.ticket, auth.Transport, limiterHost(h.access.Image), plainHTTP)
	h.opened = &connection{session: s, auth: auth, scheme: scheme, namespace: h.mirror.Namespace, http: &http.Client{
		Transport:     s.auth.Transport(stack),
		CheckRedirect: s.auth.CheckRedirect(),
	}}
	return h.opened, nil
}

// admit acquires a ticket of the registry host's limiter, unless an earlier operation
// acquired one and then failed to read the credentials.
func (h *host) admit() error {
	if h.ticket != nil {
		return nil
	}
	ticket, err := h.client.limiters.Acquire(h.key(), h.access.Waiter)
	if err != nil {
		return err
	}
	h.ticket = ticket
	if h.access.Granted != nil {
		h.access.Granted()
	}
	return nil
}

// key returns the key of the host's limiter.
func (h *host) key() ratelimit.Key {
	return ratelimit.Key{Host: limiterHost(h.access.Image), Proxy: h.access.Proxy}
}

// newStack returns the RoundTrippers below the authentication. Package transport
// describes them.
func (c *Client) newStack(ticket *ratelimit.Ticket, config transport.Config, host string, plainHTTP bool) http.RoundTripper {
	pooled := transport.Func(func(req *http.Request) (*http.Response, error) { return c.base(config).RoundTrip(req) })
	observed := transport.Observe(pooled, c.now, func(outcome string, duration time.Duration) {
		c.metrics.observeRequest(host, outcome, duration)
	})
	capped := transport.BodyCap(observed, c.limits.BodyBytes)
	limited := ticket.Transport(transport.Throttle(capped, c.now))
	return transport.UserAgent(transport.PlainHTTPGuard(limited, plainHTTP), c.userAgent)
}

// run runs an operation at the first host that succeeds, and converts its error. It fails
// with a *ratelimit.BusyError if the caller has to retry later, usually before any request.
func run[T any](ctx context.Context, r *Repository, op operation, do func(context.Context, *reader) (T, error)) (T, error) {
	op.image, op.anonymous = r.access.Image, r.access.Anonymous
	if _, bounded := ctx.Deadline(); !bounded && r.client.limits.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.client.limits.Time)
		defer cancel()
	}
	return runAtHosts(ctx, r, op, do)
}

// runAt runs an operation at one host.
func runAt[T any](ctx context.Context, h *host, op operation, do func(context.Context, *reader) (T, error)) (T, error) {
	var none T
	c, err := h.connect(ctx)
	if err != nil {
		return none, op.fail(err)
	}
	op.auth = c.auth
	result, err := do(ctx, &reader{connection: c, Client: h.client, image: h.access.Image})
	if err != nil {
		return none, op.fail(err)
	}
	return result, nil
}

// reader makes the requests of one operation.
type reader struct {
	*connection
	*Client
	image image.Name
}

// url returns the URL of a path in the repository, such as "tags/list". Package auth sets
// the final scheme.
func (r *reader) url(path string) *url.URL {
	repo := r.image.Repository()
	return &url.URL{
		Scheme: r.scheme,
		Host:   repo.RegistryStr(),
		Path:   "/v2/" + repo.RepositoryStr() + "/" + path,
	}
}

// do makes a request without a body. The caller closes the response's body.
func (r *reader) do(ctx context.Context, method string, u *url.URL, accept string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	if r.namespace != "" {
		query := req.URL.Query()
		query.Set("ns", r.namespace) // as containerd does
		req.URL.RawQuery = query.Encode()
	}
	return r.http.Do(req)
}
