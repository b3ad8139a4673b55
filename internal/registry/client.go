/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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

// Limits bounds what one operation takes from a registry. A limit that is hit
// is an error: what was read until then is thrown away.
type Limits struct {
	// BodyBytes bounds every body, so also one page of tags.
	BodyBytes int64
	// ManifestBytes bounds a manifest whose digest has to be computed.
	ManifestBytes int64
	// Pages bounds the pages of one tag list.
	Pages int
	// Tags bounds the tags of one tag list.
	Tags int
	// ListBytes bounds the bytes of all pages of one tag list.
	ListBytes int64
	// Time bounds an operation whose caller sets no bound, 0 for none.
	Time time.Duration
}

// DefaultLimits returns the limits of a Client. A page of 100,000 tags, each of
// the 128 bytes that a tag may have, fits into one body. 4 MiB for a manifest
// is what the distribution specification asks registries to accept.
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

// Client reads from registries. It is made once, is safe for concurrent use, and
// shares its connections, its sessions and the limiters of registry hosts among all
// callers.
type Client struct {
	pool      *transport.Pool
	endpoints *auth.Endpoints
	sessions  *cache.Cache[sessionKey, *session]
	limiters  *ratelimit.Limiters
	metrics   *metrics
	large     *semaphore.Weighted // the operations that read much

	userAgent string
	limits    Limits
	rates     ratelimit.Config
	observe   func(transport.Observation)
	progress  func(pages, tags int)
	now       func() time.Time
	// base returns the RoundTripper of a transport configuration. Tests replace it.
	base func(transport.Config) http.RoundTripper
}

// ClientOption changes a Client that is being made.
type ClientOption func(*Client)

// WithUserAgent sets the product that requests name as their user agent, such
// as "image-reflector-controller/v1.0.0".
func WithUserAgent(product string) ClientOption { return func(c *Client) { c.userAgent = product } }

// WithLimits replaces the limits.
func WithLimits(limits Limits) ClientOption { return func(c *Client) { c.limits = limits } }

// WithRateLimits replaces the bounds of what is asked of one registry host.
func WithRateLimits(rates ratelimit.Config) ClientOption { return func(c *Client) { c.rates = rates } }

// WithMetrics has the Client's metrics registered.
func WithMetrics(registerer prometheus.Registerer) ClientOption {
	return func(c *Client) { c.metrics.register(registerer) }
}

// WithObserver has observe called after each request, by many goroutines.
func WithObserver(observe func(transport.Observation)) ClientOption {
	return func(c *Client) { c.observe = observe }
}

// WithProgress has progress called after each page of a tag list, with the number
// of pages and tags that were read so far.
func WithProgress(progress func(pages, tags int)) ClientOption {
	return func(c *Client) { c.progress = progress }
}

// NewClient returns a Client with connections of its own.
func NewClient(opts ...ClientOption) *Client {
	c := &Client{
		large:     semaphore.NewWeighted(maxLarge),
		metrics:   newMetrics(),
		userAgent: "image-reflector-controller",
		limits:    DefaultLimits(),
		rates:     ratelimit.DefaultConfig(),
		observe:   func(transport.Observation) {},
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

// Close closes the connections that are idle.
func (c *Client) Close() { c.pool.CloseIdleConnections() }

// limiterHost returns the host by which an image's registry is limited.
func limiterHost(img image.Name) string {
	return strings.TrimSuffix(transport.CanonicalHost(img.Host()), ":443")
}

// HostLabel returns what the metrics call the registry host of an image: the
// host, or "other" beyond some number of hosts.
func (c *Client) HostLabel(img image.Name) string { return c.metrics.label(limiterHost(img)) }

// Access says which image repository is read, and how.
type Access struct {
	// Image names the repository.
	Image image.Name
	// Auth returns the identity. It is called once the limiter has admitted the
	// first operation, as it may read Secrets; nil is anonymous access. It fails
	// with an *Error.
	Auth func(context.Context) (AuthOptions, error)
	// Anonymous means that no credentials are configured. Messages about limits
	// then say that credentials may help.
	Anonymous bool
	// Proxy names the proxy that the identity will bring along, "" for none. Its
	// users have a limiter of their own.
	Proxy string
	// Waiter is woken when the repository is likely to be admitted. Without it,
	// an operation that fails with a *ratelimit.BusyError returns after some time.
	Waiter ratelimit.Waiter
	// Admitted is called once the limiter has admitted the first operation. It may
	// be nil.
	Admitted func()
}

func (a Access) auth(ctx context.Context) (AuthOptions, error) {
	if a.Auth == nil {
		return AuthOptions{}, nil
	}
	return a.Auth(ctx)
}

// Open returns a repository that is read from. It does nothing that could fail.
// Close must be called in the end.
func (c *Client) Open(access Access) *Repository {
	return &Repository{client: c, access: access, lock: semaphore.NewWeighted(1)}
}
