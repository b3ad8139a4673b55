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
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxcd/image-reflector-controller/internal/image"
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

// Client reads from registries. It is made once, is safe for concurrent use,
// and shares its connections, its sessions and the gates of registries among all
// callers. How long an operation may take is up to the caller's context.
type Client struct {
	transport *http.Transport   // of the default route
	stack     http.RoundTripper // above it
	routes    *lru[string, *pooled]
	doors     *lru[doorKey, *door]
	sessions  *lru[sessionKey, *session]
	gates     *gates
	metrics   *metrics

	large chan struct{} // the operations that are large

	userAgent string
	limits    Limits
	traffic   Traffic
	observe   func(Observation)
	progress  func(pages, tags int)
	now       func() time.Time
}

// ClientOption changes a Client that is being made.
type ClientOption func(*Client)

// WithUserAgent sets the product that requests name as their user agent, such
// as "image-reflector-controller/v1.0.0".
func WithUserAgent(product string) ClientOption { return func(c *Client) { c.userAgent = product } }

// WithLimits replaces the limits.
func WithLimits(limits Limits) ClientOption { return func(c *Client) { c.limits = limits } }

// WithTraffic replaces the bounds of what is done to one registry host.
func WithTraffic(traffic Traffic) ClientOption { return func(c *Client) { c.traffic = traffic } }

// WithMetrics has the Client's metrics registered.
func WithMetrics(registerer prometheus.Registerer) ClientOption {
	return func(c *Client) { c.metrics.register(registerer) }
}

// WithObserver has observe called after each request, by many goroutines.
func WithObserver(observe func(Observation)) ClientOption {
	return func(c *Client) { c.observe = observe }
}

// WithProgress has progress called after each page of a tag list, with how many
// pages and tags were read so far.
func WithProgress(progress func(pages, tags int)) ClientOption {
	return func(c *Client) { c.progress = progress }
}

// NewClient returns a Client with connections of its own.
func NewClient(opts ...ClientOption) *Client {
	c := &Client{
		transport: newTransport(),
		large:     make(chan struct{}, largeAtATime),
		metrics:   newMetrics(),
		userAgent: "image-reflector-controller",
		limits:    DefaultLimits(),
		traffic:   DefaultTraffic(),
		observe:   func(Observation) {},
		progress:  func(int, int) {},
		now:       time.Now,
	}
	for _, opt := range opts {
		opt(c)
	}
	route{}.configure(c.transport)
	c.gates = newGates(c.traffic, c.now, c.metrics)
	c.stack = c.newStack(c.transport)
	c.routes = newLRU[string](maxRoutes, routeIdle, c.now, closeIdle)
	c.doors = newLRU[doorKey, *door](maxDoors, doorIdle, c.now, nil)
	c.sessions = newLRU[sessionKey, *session](maxSessions, sessionIdle, c.now, nil)
	return c
}

// Close closes the connections that are idle.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.routes.each(closeIdle)
}

// ListTags returns all tags of an image repository, each of them once and in
// the order of the registry. It never returns a part of them: a list that
// can't be read to its end is an *Error. Names that no tag can have are left out.
func (c *Client) ListTags(ctx context.Context, img image.Name, auth AuthOptions) ([]string, error) {
	list, err := c.List(ctx, img, auth, "")
	return list.Tags, err
}

// TagList is the tags of an image repository.
type TagList struct {
	// Tags are the tags, each of them once and in the order of the registry.
	Tags []string
	// Invalid is how many names were left out that no tag can have.
	Invalid int
	// Fingerprint stands for the list as the registry sent it.
	Fingerprint Fingerprint
	// Unchanged says that the list is the one that was known already. Its tags
	// are not told again.
	Unchanged bool
}

// List is ListTags for those who want to know what was left out, or who know the
// list already as one with the fingerprint known.
func (c *Client) List(ctx context.Context, img image.Name, auth AuthOptions, known Fingerprint) (TagList, error) {
	op := operation{verb: opListTags, image: img, auth: auth}
	return run(ctx, c, op, func(ctx context.Context, s *session) (TagList, error) {
		return newListing(s, known, c.progress).all(ctx)
	})
}

// Digest returns the digest, "sha256:…", of what a tag points at. For a
// multi-arch image that is the index. It fails with an *Error.
func (c *Client) Digest(ctx context.Context, img image.Name, tag string, auth AuthOptions) (string, error) {
	op := operation{verb: opDigest, image: img, tag: tag, auth: auth}
	return run(ctx, c, op, func(ctx context.Context, s *session) (string, error) { return s.digest(ctx, tag) })
}

// Exists reports whether a tag exists, by asking for that tag alone. It fails
// with an *Error where the registry answers neither yes nor no.
func (c *Client) Exists(ctx context.Context, img image.Name, tag string, auth AuthOptions) (bool, error) {
	op := operation{verb: opExists, image: img, tag: tag, auth: auth}
	return run(ctx, c, op, func(ctx context.Context, s *session) (bool, error) { return s.exists(ctx, tag) })
}

// run does one operation in its session, and translates its error. It fails with
// a *BusyError before it does anything, where it has to come back later.
func run[T any](ctx context.Context, c *Client, op operation, do func(context.Context, *session) (T, error)) (T, error) {
	var none T
	ctx, leave, err := c.enter(ctx, op.image, Caller{Proxy: op.auth.route.ownProxy()})
	if _, busy := errors.AsType[*BusyError](err); busy {
		return none, err
	}
	if err != nil {
		return none, op.fail(err)
	}
	defer leave()
	if _, bounded := ctx.Deadline(); !bounded && c.limits.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.limits.Time)
		defer cancel()
	}
	s, err := c.session(op.image, op.auth)
	if err != nil {
		return none, op.fail(err)
	}
	result, err := do(ctx, s)
	if err != nil {
		return none, op.fail(err)
	}
	return result, nil
}
