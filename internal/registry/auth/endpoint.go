// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/semaphore"

	"github.com/fluxcd/image-reflector-controller/internal/registry/cache"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

const (
	// maxEndpoints bounds the cached endpoints.
	maxEndpoints = 1024
	// endpointIdle is how long the result of a ping is used.
	endpointIdle = time.Hour
	// tlsHeadStart is the time before plain HTTP is tried, if it is allowed, while TLS has
	// neither failed nor succeeded.
	tlsHeadStart = 5 * time.Second
)

// endpointKey identifies an endpoint. It has no credentials, so all identities share pings.
type endpointKey struct {
	registry  name.Registry // the host, and whether plain HTTP is allowed
	transport string        // the key of the transport configuration
}

// Endpoints caches, per registry host and transport, the scheme and the challenge that
// GET /v2/ returned. It is safe for concurrent use.
type Endpoints struct {
	entries *cache.Cache[endpointKey, *endpoint]
	now     func() time.Time
}

// NewEndpoints returns an empty cache.
func NewEndpoints(now func() time.Time) *Endpoints {
	return &Endpoints{entries: cache.New[endpointKey, *endpoint](maxEndpoints, endpointIdle, now, nil), now: now}
}

// pingResult is the response of a registry to a ping.
type pingResult struct {
	scheme    string // of the ping that succeeded
	challenge *ggcr.Challenge
	at        time.Time
}

// endpoint is a registry host under one transport configuration.
type endpoint struct {
	registry name.Registry
	now      func() time.Time
	lock     *semaphore.Weighted        // held while pinging
	cached   atomic.Pointer[pingResult] // nil for none
}

// plainHTTP reports whether the registry may be reached without TLS.
func (e *endpoint) plainHTTP() bool { return transport.PlainHTTP(e.registry) }

// ping returns the cached result of a ping, or the result of a new one. Concurrent callers
// share a ping.
func (e *endpoint) ping(ctx context.Context, rt http.RoundTripper) (*pingResult, error) {
	if r := e.recentPing(); r != nil {
		return r, nil
	}
	if err := e.lock.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer e.lock.Release(1)
	if r := e.recentPing(); r != nil {
		return r, nil
	}
	challenge, err := ggcr.Ping(ctx, e.registry, &pingTransport{endpoint: e, inner: rt, tls: make(chan bool, 1)})
	if err != nil {
		return nil, err
	}
	r := &pingResult{scheme: "https", challenge: challenge, at: e.now()}
	if challenge.Insecure {
		r.scheme = "http"
	}
	e.cached.Store(r)
	return r, nil
}

// recentPing returns the cached result, nil if there is none that has not expired.
func (e *endpoint) recentPing() *pingResult {
	r := e.cached.Load()
	if r == nil || e.now().Sub(r.at) > endpointIdle {
		return nil
	}
	return r
}

// invalidate makes the next operation ping again.
func (e *endpoint) invalidate() { e.cached.Store(nil) }

// errNoPlainHTTP is the error of a ping by plain HTTP that is suppressed.
var errNoPlainHTTP = errors.New("plain HTTP is not tried")

// pingTransport guards the requests of a ping. go-containerregistry follows any redirect,
// and uses the challenge of the last host. If plain HTTP is allowed, it pings by both
// schemes unless TLS takes less than 0.3 seconds, and uses the faster one, so credentials
// could be sent without TLS to registries that support it.
type pingTransport struct {
	endpoint *endpoint
	inner    http.RoundTripper
	tls      chan bool // receives whether there was a response by TLS
}

// RoundTrip implements http.RoundTripper.
func (p *pingTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if redirects := transport.Redirects(req); redirects > 0 {
		check := transport.CheckRedirect(p.endpoint.registry.RegistryStr(), p.endpoint.plainHTTP())
		if err := check(req, make([]*http.Request, redirects)); err != nil {
			return nil, err
		}
		return p.challenge(req)
	}
	if req.URL.Scheme == "http" {
		if err := p.waitForTLS(req.Context()); err != nil {
			return nil, err
		}
		return p.challenge(req)
	}
	resp, err := p.challenge(req)
	_, throttled := errors.AsType[*transport.ThrottledError](err)
	p.tls <- err == nil || throttled
	return resp, err
}

// waitForTLS waits until the request by TLS has failed, or tlsHeadStart has passed. It fails
// if there was a response by TLS, or if plain HTTP is not allowed.
func (p *pingTransport) waitForTLS(ctx context.Context) error {
	if !p.endpoint.plainHTTP() {
		return errNoPlainHTTP
	}
	select {
	case responded := <-p.tls:
		if responded {
			return errNoPlainHTTP
		}
		return nil
	case <-time.After(tlsHeadStart):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// challenge makes a request, and removes the challenge of another host.
func (p *pingTransport) challenge(req *http.Request) (*http.Response, error) {
	host := p.endpoint.registry.RegistryStr()
	resp, err := p.inner.RoundTrip(req)
	if err != nil || transport.IsHost(req.URL, host) || resp.StatusCode/100 == 3 {
		return resp, err
	}
	// Only the registry's own host may determine the scheme and the token server, which
	// receives the credentials. go-containerregistry uses the scheme of resp.Request.
	resp.Header.Del("WWW-Authenticate")
	for resp.Request = req; !transport.IsHost(resp.Request.URL, host) && resp.Request.Response != nil; {
		resp.Request = resp.Request.Response.Request
	}
	return resp, nil
}

// The supported schemes of challenges, in lower case.
const (
	schemeBasic  = "basic"
	schemeBearer = "bearer"
)

// challengeOf returns the challenge of a response, with an empty scheme if there is none.
// go-containerregistry exports its parser only as a part of Ping, so the response is passed
// to a ping that makes no request.
func challengeOf(ctx context.Context, resp *http.Response) *ggcr.Challenge {
	pong := &http.Response{StatusCode: http.StatusUnauthorized, Header: resp.Header, Body: http.NoBody}
	inner := transport.Func(func(*http.Request) (*http.Response, error) { return pong, nil })
	c, err := ggcr.Ping(ctx, name.Registry{}, inner)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return &ggcr.Challenge{}
	}
	c.Scheme = strings.ToLower(c.Scheme)
	return c
}
