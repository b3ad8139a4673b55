// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/auth"
	"github.com/fluxcd/image-reflector-controller/internal/registry/cache"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// Limits bounds the responses of one operation. An operation that exceeds a limit fails,
// and returns no partial result.
type Limits struct {
	// BodyBytes bounds every body, such as a page of tags.
	BodyBytes int64
	// ManifestBytes bounds a manifest whose digest has to be computed.
	ManifestBytes int64
	// Pages bounds the pages of one tag list.
	Pages int
	// Tags bounds the tags of one tag list.
	Tags int
	// ListBytes bounds the bytes of all pages of one tag list.
	ListBytes int64
	// Time bounds an operation whose context has no deadline, 0 for no bound.
	Time time.Duration
}

// DefaultLimits returns the default limits. A body has room for 100,000 tags of the
// maximum length of 128 bytes. The distribution specification requires registries to
// accept manifests of 4 MiB.
func DefaultLimits() Limits {
	return Limits{
		BodyBytes:     16 << 20,
		ManifestBytes: 4 << 20,
		Pages:         5_000,
		Tags:          500_000,
		ListBytes:     64 << 20,
		Time:          5 * time.Minute,
	}
}

// Client reads from registries. All callers share its connections, its sessions and
// the limiters of registry hosts. It is safe for concurrent use.
type Client struct {
	pool      *transport.Pool
	endpoints *auth.Endpoints
	sessions  *cache.Cache[sessionKey, *session]
	limiters  *ratelimit.Limiters
	metrics   *metrics
	large     *semaphore.Weighted // acquired by large operations

	userAgent string
	limits    Limits
	rates     ratelimit.Config
	progress  func(pages, tags int)
	now       func() time.Time
	// base returns the RoundTripper of a transport configuration. Tests replace it.
	base func(transport.Config) http.RoundTripper

	mirrors     Mirrors        // nil for none
	onFallback  func(Fallback) // nil for none
	unreachable unreachableHosts
}

// ClientOption configures a Client.
type ClientOption func(*Client)

// WithUserAgent sets the User-Agent header, such as
// "image-reflector-controller/v1.0.0".
func WithUserAgent(product string) ClientOption { return func(c *Client) { c.userAgent = product } }

// WithRateLimits replaces the bounds of the load on each registry host.
func WithRateLimits(rates ratelimit.Config) ClientOption { return func(c *Client) { c.rates = rates } }

// WithMetrics registers the Client's metrics.
func WithMetrics(registerer prometheus.Registerer) ClientOption {
	return func(c *Client) {
		m := c.metrics
		registerer.MustRegister(m.requests, m.durations, m.waits, m.inFlight, m.paused, m.fallbacks)
	}
}

// WithProgress sets a function that is called after each page of a tag list, with the
// number of pages and tags so far.
func WithProgress(progress func(pages, tags int)) ClientOption {
	return func(c *Client) { c.progress = progress }
}

// NewClient returns a Client.
func NewClient(opts ...ClientOption) *Client {
	c := &Client{
		large:     semaphore.NewWeighted(maxLarge),
		metrics:   newMetrics(),
		userAgent: "image-reflector-controller",
		limits:    DefaultLimits(),
		rates:     ratelimit.DefaultConfig(),
		progress:  func(int, int) {},
		now:       time.Now,
	}
	c.base = func(config transport.Config) http.RoundTripper { return c.pool.Transport(config) }
	for _, opt := range opts {
		opt(c)
	}
	c.pool = transport.NewPool(c.now)
	c.endpoints = auth.NewEndpoints(c.now)
	c.sessions = cache.New[sessionKey, *session](maxSessions, sessionIdle, c.now, nil)
	c.limiters = ratelimit.New(c.rates, c.now, c.metrics.observer())
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.pool.CloseIdleConnections() }

// limiterHost returns the limiter key of an image's registry.
func limiterHost(img image.Name) string {
	return strings.TrimSuffix(transport.CanonicalHost(img.Host()), ":443")
}

// HostLabel returns the metric label of an image's registry host: the host, or "other"
// beyond a maximum number of hosts.
func (c *Client) HostLabel(img image.Name) string { return c.metrics.label(limiterHost(img)) }

// Access describes how to access an image repository.
type Access struct {
	// Image is the image repository.
	Image image.Name
	// Auth returns the identity, and fails with an *Error. It is called after the
	// limiter has admitted the first operation, because it may read Secrets. Nil is
	// anonymous access.
	Auth func(context.Context) (AuthOptions, error)
	// MirrorAuth returns the identity for the image at a mirror of its registry. It is
	// called like Auth. Nil is anonymous access.
	MirrorAuth func(context.Context, image.Name) (AuthOptions, error)
	// Anonymous means that no credentials are configured, so that errors about rate
	// limits recommend credentials.
	Anonymous bool
	// Proxy identifies the proxy of the identity, "" for none. Each proxy has its own
	// limiter.
	Proxy string
	// Waiter is woken when the limiter is likely to admit the repository. Without it,
	// the caller retries after the delay in the *ratelimit.BusyError.
	Waiter ratelimit.Waiter
	// Granted is called when the limiter has admitted the first operation. It may be
	// nil.
	Granted func()
}

func (a Access) auth(ctx context.Context) (AuthOptions, error) {
	if a.Auth == nil {
		return AuthOptions{}, nil
	}
	return a.Auth(ctx)
}

// Open returns a repository, which the caller closes. It makes no requests.
func (c *Client) Open(access Access) *Repository {
	return &Repository{client: c, access: access, hosts: c.hostsOf(access)}
}
