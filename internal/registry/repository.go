// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/auth"
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

// Repository is an image repository in a registry. Its operations end with their
// context. It is safe for concurrent use.
type Repository struct {
	client *Client
	access Access

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
}

// Close releases the limiter's ticket. Operations in flight continue, but Close waits
// while one of them reads the credentials.
func (r *Repository) Close() {
	_ = r.lock.Acquire(context.Background(), 1) //nolint:forbidigo // the ticket is released even if the caller's context has ended
	defer r.lock.Release(1)
	if r.ticket != nil {
		r.ticket.Release()
	}
	r.ticket, r.opened = nil, nil
}

// connect acquires a ticket and reads the credentials, unless an earlier operation did.
func (r *Repository) connect(ctx context.Context) (*connection, error) {
	if err := r.lock.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer r.lock.Release(1)
	if r.opened != nil {
		return r.opened, nil
	}
	if err := r.admit(); err != nil {
		return nil, err
	}
	auth, err := r.access.auth(ctx)
	if err != nil {
		return nil, err
	}
	if !auth.IsFor(r.access.Image) {
		return nil, transport.ProtocolError("the credentials are for another registry")
	}
	s := r.client.session(r.access.Image, auth)
	plainHTTP, scheme := isPlainHTTP(r.access.Image), "https"
	if plainHTTP {
		scheme = "http"
	}
	stack := r.client.newStack(r.ticket, auth.Transport, limiterHost(r.access.Image), plainHTTP)
	r.opened = &connection{session: s, auth: auth, scheme: scheme, http: &http.Client{
		Transport:     s.auth.Transport(stack),
		CheckRedirect: s.auth.CheckRedirect(),
	}}
	return r.opened, nil
}

// admit acquires a ticket of the registry host's limiter, unless an earlier operation
// acquired one and then failed to read the credentials.
func (r *Repository) admit() error {
	if r.ticket != nil {
		return nil
	}
	key := ratelimit.Key{Host: limiterHost(r.access.Image), Proxy: r.access.Proxy}
	ticket, err := r.client.limiters.Acquire(key, r.access.Waiter)
	if err != nil {
		return err
	}
	r.ticket = ticket
	if r.access.Granted != nil {
		r.access.Granted()
	}
	return nil
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

// run runs an operation and converts its error. It fails with a *ratelimit.BusyError,
// before any request, if the caller has to retry later.
func run[T any](ctx context.Context, r *Repository, op operation, do func(context.Context, *reader) (T, error)) (T, error) {
	var none T
	op.image, op.anonymous = r.access.Image, r.access.Anonymous
	if _, bounded := ctx.Deadline(); !bounded && r.client.limits.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.client.limits.Time)
		defer cancel()
	}
	c, err := r.connect(ctx)
	if err != nil {
		return none, op.fail(err)
	}
	op.auth = c.auth
	result, err := do(ctx, &reader{connection: c, Client: r.client, image: r.access.Image})
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
	return r.http.Do(req)
}
