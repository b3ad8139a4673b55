// SPDX-License-Identifier: Apache-2.0

// Package ratelimit bounds the load on each registry host: the operations in flight and the
// rate of requests. It also enforces the pauses that a host requests.
package ratelimit

import (
	"errors"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

const (
	// maxDelay bounds the delay of an operation that exceeds the rate.
	maxDelay = 30 * time.Second
	// minDelay keeps deferred operations from retrying in a tight loop.
	minDelay = 5 * time.Millisecond
	// maxWait bounds the delay of a queued operation, in case its wake-up is lost.
	maxWait = time.Minute
	// pollDelay is the average delay of operations without a Wake function.
	pollDelay = 200 * time.Millisecond
)

// hostLimiter admits the operations of one registry host. It never blocks: if the bound in
// flight is exceeded, the operation is queued, and woken when another one ends. If the rate
// is exceeded, the operation gets a delay.
//
// The rate counts requests. An operation is admitted if there is a token for one request.
// Its later requests, for credentials or more pages, reserve tokens without waiting, and so
// delay later operations.
type hostLimiter struct {
	host     string
	config   Config
	now      func() time.Time
	observer *Observer

	mu       sync.Mutex
	inFlight int
	queue    waitQueue
	pause    pause
	tokens   *rate.Limiter // nil for no bound
	next     time.Time     // the latest time at which a deferred operation retries
	average  float64       // requests per operation
}

// pause is a time without requests that the registry requested.
type pause struct {
	status int
	until  time.Time
}

func newHostLimiter(host string, config Config, now func() time.Time, observer *Observer) *hostLimiter {
	l := &hostLimiter{host: host, config: config, now: now, observer: observer, queue: newWaitQueue(), average: 1}
	if config.PerSecond > 0 {
		l.tokens = rate.NewLimiter(rate.Limit(config.PerSecond), max(config.Burst, 1))
	}
	return l
}

// acquire admits an operation. It fails with a *BusyError if the operation has to retry
// later, and with a *transport.ThrottledError during a pause.
func (l *hostLimiter) acquire(w Waiter) (*Ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	paused := l.paused(now)
	if paused == nil && l.config.InFlight > 0 && l.inFlight >= l.config.InFlight {
		return nil, l.enqueue(w, now)
	}
	since := l.queue.remove(w.Key, now)
	if paused != nil {
		return nil, paused
	}
	if l.tokens != nil && !l.tokens.AllowN(now, 1) {
		return nil, l.deferUntil(now)
	}
	l.inFlight++
	l.observer.InFlight(l.host, 1)
	l.observer.Waited(l.host, now.Sub(since))
	return &Ticket{limiter: l}, nil
}

// enqueue queues an operation until it is woken.
func (l *hostLimiter) enqueue(w Waiter, now time.Time) error {
	if w.Wake == nil {
		return &BusyError{Host: l.host, After: pollDelay/2 + jitter(pollDelay)}
	}
	l.queue.add(w, now)
	return &BusyError{Host: l.host, After: maxWait/2 + jitter(maxWait/2)}
}

// deferUntil returns the error with the delay of an operation that exceeds the rate.
// Deferred operations are spaced by the time that the rate allows for the average
// operation.
func (l *hostLimiter) deferUntil(now time.Time) error {
	next := now.Add(l.durationOf(1 - l.tokens.TokensAt(now)))
	if l.next.After(next) {
		next = l.next
	}
	next = next.Add(l.durationOf(l.average))
	after := max(next.Sub(now), minDelay)
	if after > maxDelay {
		after = maxDelay/2 + jitter(maxDelay/2)
	} else {
		l.next = next
		after += jitter(after / 10)
	}
	l.observer.Waited(l.host, after)
	return &BusyError{Host: l.host, After: after}
}

// durationOf returns the time that the rate allows for a number of requests.
func (l *hostLimiter) durationOf(requests float64) time.Duration {
	return time.Duration(requests / l.config.PerSecond * float64(time.Second))
}

// paused returns a *transport.ThrottledError during a pause, with a random delay, so that
// operations do not all retry at the end of the pause.
func (l *hostLimiter) paused(now time.Time) error {
	left := l.pause.until.Sub(now)
	if left <= 0 {
		return nil
	}
	return &transport.ThrottledError{StatusCode: l.pause.status, RetryAfter: left + jitter(min(left/4+time.Second, maxDelay))}
}

// startPause admits no operations for the pause that the registry requested. The rate
// limit restarts without a burst.
func (l *hostLimiter) startPause(e *transport.ThrottledError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := l.now().Add(e.RetryAfter)
	if until.Before(l.pause.until) {
		return
	}
	l.pause = pause{status: e.StatusCode, until: until}
	if l.tokens != nil {
		l.tokens.ReserveN(until, max(int(l.tokens.TokensAt(until))-1, 0))
	}
	l.observer.PausedUntil(l.host, until)
}

// isIdle reports whether the limiter has the state of a new one.
func (l *hostLimiter) isIdle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	full := l.tokens == nil || l.tokens.TokensAt(now) >= float64(l.tokens.Burst())
	return l.inFlight == 0 && full && !l.pause.until.After(now) && l.queue.len() == 0
}

// Ticket is a limiter's permission for one operation.
type Ticket struct {
	limiter  *hostLimiter
	requests int // made so far
}

// Transport returns a RoundTripper that counts each request of the operation against the
// registry host. Requests to token servers and redirect targets count, too, because they
// are made on behalf of the registry. During a pause it fails with a
// *transport.ThrottledError.
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

// count reserves a token for a request, except for the first one, for which acquire took
// the token.
func (t *Ticket) count() error {
	l := t.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if paused := l.paused(now); paused != nil {
		return paused
	}
	if t.requests++; t.requests > 1 && l.tokens != nil {
		l.tokens.ReserveN(now, 1) // delays later operations
	}
	return nil
}

// Release ends the operation, and wakes the next ones in the queue.
func (t *Ticket) Release() {
	for _, wake := range t.limiter.release(t) {
		wake() // without holding the lock
	}
}

// release ends an operation, and returns the Wake functions of the next ones.
func (l *hostLimiter) release(t *Ticket) []func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	l.observer.InFlight(l.host, -1)
	if t.requests > 0 {
		l.average += (float64(t.requests) - l.average) / 16
	}
	return l.queue.wake(l.config.InFlight-l.inFlight, l.now())
}

// jitter returns a random duration below d.
func jitter(d time.Duration) time.Duration {
	return time.Duration(mathrand.Float64() * float64(d)) //nolint:gosec // it only spreads load
}
