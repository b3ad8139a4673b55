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
	"net/http"
	"time"
)

const (
	// maxRoutes is how many ways to registries have connections at a time.
	maxRoutes = 64
	// routeIdle is how long connections are kept for a way that nobody goes.
	routeIdle = 10 * time.Minute
)

// pooled is a transport with what all its requests pass above it.
type pooled struct {
	transport *http.Transport
	stack     http.RoundTripper
}

// closeIdle has connections closed that are idle, or as soon as they are. No
// request under way is cut.
func closeIdle(p *pooled) { p.transport.CloseIdleConnections() }

// newPooled returns the transport of a route.
func (c *Client) newPooled(r route) *pooled {
	t := newTransport()
	r.configure(t)
	if r.key != "" { // one of many
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 32, 16
	}
	return &pooled{transport: t, stack: c.newStack(t)}
}

// routed sends requests over the pooled transport of a route. It looks for it
// each time, so that a session never keeps one that was dropped.
type routed struct {
	client *Client
	route  route
}

// RoundTrip implements http.RoundTripper.
func (r *routed) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.route.key == "" {
		return r.client.stack.RoundTrip(req)
	}
	p := r.client.routes.get(r.route.key, func() *pooled { return r.client.newPooled(r.route) })
	return p.stack.RoundTrip(req)
}

// userAgent says who asks.
type userAgent struct {
	product string
	inner   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (u *userAgent) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", u.product)
	return u.inner.RoundTrip(req)
}
