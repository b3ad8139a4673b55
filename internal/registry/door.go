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
	"net/url"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	// maxDoors is how many registries are known at a time.
	maxDoors = 1024
	// doorIdle is how long what is known of a registry is kept.
	doorIdle = time.Hour
	// tlsPatience is how long TLS is tried where plain HTTP is allowed too.
	tlsPatience = 5 * time.Second
)

// doorKey tells doors apart.
type doorKey struct {
	host  string
	plain bool
	route string
}

// greeting is how a registry answered a ping.
type greeting struct {
	scheme    string // by which it was reached
	challenge authChallenge
	at        time.Time
}

// door is what all repositories of one registry, reached by one route, have in
// common: by which scheme it is reached, and how it wants its clients to log in.
// Nothing of that depends on who asks.
type door struct {
	host  string
	plain bool // plain HTTP is allowed
	now   func() time.Time
	turn  turn // to ping

	mu    sync.Mutex
	known *greeting // nil for unknown
}

// newDoor returns the door of a registry of which nothing is known yet.
func newDoor(host string, plain bool, now func() time.Time) *door {
	return &door{host: host, plain: plain, now: now, turn: newTurn()}
}

// greet returns what the registry says about logging in. It is asked by one
// operation at a time, for all of them.
func (d *door) greet(ctx context.Context, rt http.RoundTripper) (greeting, error) {
	if g, ok := d.recall(); ok {
		return g, nil
	}
	if err := d.turn.take(ctx); err != nil {
		return greeting{}, err
	}
	defer d.turn.give()
	if g, ok := d.recall(); ok {
		return g, nil
	}
	g, err := d.ping(ctx, rt)
	if err != nil {
		return greeting{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = &g
	return g, nil
}

// recall returns what is known, and whether anything is that is not too old.
func (d *door) recall() (greeting, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || d.now().Sub(d.known.at) > doorIdle {
		return greeting{}, false
	}
	return *d.known, true
}

// forget makes the next session ask anew.
func (d *door) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = nil
}

// ping reaches the registry with TLS, or else without where that is allowed.
// An answer is an answer, so only a failed connection is tried again.
func (d *door) ping(ctx context.Context, rt http.RoundTripper) (greeting, error) {
	if !d.plain {
		return d.pingBy(ctx, "https", rt)
	}
	patient, cancel := context.WithTimeout(ctx, tlsPatience)
	defer cancel()
	g, failed := d.pingBy(patient, "https", rt)
	if failed == nil || ctx.Err() != nil || isAnswer(failed) {
		return g, failed
	}
	g, err := d.pingBy(ctx, "http", rt)
	if err != nil {
		return greeting{}, errors.Join(failed, err)
	}
	return g, nil
}

// isAnswer reports whether an error is about an answer, so that there was one.
func isAnswer(err error) bool {
	_, status := errors.AsType[*transport.Error](err)
	_, throttled := errors.AsType[*throttledError](err)
	return status || throttled
}

// pingBy pings the registry by one scheme. A challenge counts only where it
// comes from the registry's host: no redirect may name the server that gets the
// credentials.
func (d *door) pingBy(ctx context.Context, scheme string, rt http.RoundTripper) (greeting, error) {
	u := &url.URL{Scheme: scheme, Host: d.host, Path: "/v2/"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return greeting{}, err
	}
	client := &http.Client{Transport: rt, CheckRedirect: d.checkRedirect}
	resp, err := client.Do(req)
	if err != nil {
		return greeting{}, err
	}
	defer closeBody(resp)
	if err := transport.CheckError(resp, http.StatusOK, http.StatusUnauthorized); err != nil {
		return greeting{}, err
	}
	g := greeting{scheme: scheme, at: d.now()}
	if resp.StatusCode == http.StatusUnauthorized && hostOf(resp.Request.URL) == hostOf(u) {
		g.challenge = challengeOf(resp)
		g.scheme = resp.Request.URL.Scheme
	}
	return g, nil
}
