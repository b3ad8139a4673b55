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

package ratelimit

import (
	"errors"
	"net/http"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// Ticket is the admission of one operation.
type Ticket struct {
	limiter  *hostLimiter
	requests int // that were made
}

// Transport returns a RoundTripper that counts each request of the operation at
// the limiter of its registry host, whatever host the request goes to: those to
// token servers and redirect targets are made on behalf of the registry. During
// a pause it fails with a *transport.ThrottledError.
func (t *Ticket) Transport(inner http.RoundTripper) http.RoundTripper {
	return transport.Func(func(req *http.Request) (*http.Response, error) {
		if err := t.count(); err != nil {
			return nil, err
		}
		resp, err := inner.RoundTrip(req)
		if throttled, ok := errors.AsType[*transport.ThrottledError](err); ok {
			t.limiter.startPause(throttled)
		}
		return resp, err
	})
}

// count takes a token for a request. That of the first one was taken by acquire.
func (t *Ticket) count() error {
	l := t.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if paused := l.paused(now); paused != nil {
		return paused
	}
	if t.requests++; t.requests > 1 && l.tokens != nil {
		l.tokens.ReserveN(now, 1) // to be waited for by later operations
	}
	return nil
}

// Release ends the operation, and wakes those that wait for it.
func (t *Ticket) Release() {
	for _, wake := range t.limiter.release(t) {
		wake()
	}
}

// release returns the functions that wake the next operations.
func (l *hostLimiter) release(t *Ticket) []func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.observer.inFlight(-1)
	if t.requests > 0 {
		l.average += (float64(t.requests) - l.average) / 16
	}
	return l.queue.wake(l.config.InFlight-l.inFlight, l.now())
}
