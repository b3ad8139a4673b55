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
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// manyGates is how many gates there may be before idle ones are removed.
const manyGates = 1024

// BusyError says that the registry is being asked as much as is allowed, so
// that an operation has to come back. Nothing is wrong.
type BusyError struct {
	// Host is the registry's host, and port where there is one.
	Host string
	// After is the time after which to come back, unless woken before.
	After time.Duration
}

// Error implements error.
func (b *BusyError) Error() string {
	return fmt.Sprintf("registry %s is being asked as much as is allowed", b.Host)
}

// gates are the gates of all registry hosts.
type gates struct {
	traffic Traffic
	now     func() time.Time
	metrics *metrics

	mu    sync.Mutex
	hosts map[gateKey]*gate
}

// gateKey tells gates apart. What comes through somebody's own proxy may be the
// proxy's own answer: that must not make all others wait.
type gateKey struct{ host, proxy string }

// newGates returns the gates of hosts that nobody asked yet.
func newGates(traffic Traffic, now func() time.Time, m *metrics) *gates {
	return &gates{traffic: traffic, now: now, metrics: m, hosts: map[gateKey]*gate{}}
}

// enter lets an operation in at the gate of a host, or fails with a *BusyError.
func (g *gates) enter(host string, caller Caller) (*visit, error) {
	g.mu.Lock()
	defer g.mu.Unlock() // a gate must not be removed between being found and being entered
	key := gateKey{host: host, proxy: caller.Proxy}
	found := g.hosts[key]
	if found == nil {
		g.trim()
		found = newGate(host, g.traffic, g.now, g.metrics)
		g.hosts[key] = found
	}
	return found.enter(caller)
}

// trim removes the gates that have nothing to remember, once there are many.
func (g *gates) trim() {
	if len(g.hosts) < manyGates {
		return
	}
	for key, gate := range g.hosts {
		if gate.idle() {
			delete(g.hosts, key)
		}
	}
}

// gateHost returns the name of the gate of an image's registry.
func gateHost(img image.Name) string { return strings.TrimSuffix(canonicalHost(img.Host()), ":443") }

// visitKey is the key of a visit in a context.
type visitKey struct{}

// visitOf returns the visit to which a context belongs, nil where there is
// none.
func visitOf(ctx context.Context) *visit {
	v, _ := ctx.Value(visitKey{}).(*visit)
	return v
}

// Enter asks for leave to do operations on an image repository, and returns the
// context to do them with, and what ends that. It fails with a *BusyError where
// they have to come back later, and with an *Error while the registry wants to be
// left alone. Operations ask for themselves. This is for those
// who have something to do before, such as reading credentials, and need not do
// it in vain. The caller is woken when it is worth the while to come back.
func (c *Client) Enter(ctx context.Context, img image.Name, caller Caller) (context.Context, func(), error) {
	ctx, leave, err := c.enter(ctx, img, caller)
	if throttled, ok := errors.AsType[*throttledError](err); ok {
		op := operation{verb: cmp.Or(caller.Purpose.verb, opAsk), tag: caller.Purpose.tag, digest: caller.Purpose.digest, image: img, early: true}
		return nil, nil, op.fail(throttled)
	}
	return ctx, leave, err
}

// enter is Enter with an error that is not translated.
func (c *Client) enter(ctx context.Context, img image.Name, caller Caller) (context.Context, func(), error) {
	host := gateHost(img)
	if v := visitOf(ctx); v != nil && v.gate.host == host {
		return ctx, func() {}, nil
	}
	v, err := c.gates.enter(host, caller)
	if err != nil {
		return nil, nil, err
	}
	return context.WithValue(ctx, visitKey{}, v), v.leave, nil
}

// gated takes each request of an operation through the gate by which the
// operation came in, whatever host the request goes to: those to a token server,
// or to where a registry redirects, are made on the registry's behalf.
type gated struct{ inner http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (g *gated) RoundTrip(req *http.Request) (*http.Response, error) {
	v := visitOf(req.Context())
	if v == nil {
		return nil, errors.New("a request was made outside of an operation")
	}
	if err := v.request(); err != nil {
		return nil, err
	}
	resp, err := g.inner.RoundTrip(req)
	if throttled, ok := errors.AsType[*throttledError](err); ok {
		v.obey(throttled)
	}
	return resp, err
}
