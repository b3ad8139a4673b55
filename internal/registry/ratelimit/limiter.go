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

// Package ratelimit bounds what is asked of each registry host: the operations
// in flight, the rate of requests, and pauses that the host asked for.
package ratelimit

import (
	mathrand "math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

const (
	// maxDelay is the longest time for which an operation is deferred because of
	// the rate.
	maxDelay = 30 * time.Second
	// minDelay keeps deferred operations from returning in a tight loop.
	minDelay = 5 * time.Millisecond
	// maxWait is the longest time for which an operation waits to be woken. It
	// matters only if the wake-up was lost.
	maxWait = time.Minute
	// pollDelay is about when an operation returns that can't be woken.
	pollDelay = 200 * time.Millisecond
)

// hostLimiter admits the operations of one registry host. It never blocks: an
// operation that exceeds the bound in flight is queued and woken when another one
// ends, and one that exceeds the rate is given a time to return at.
//
// The rate counts requests. An operation is admitted if there is one token for it.
// Its later requests, for a token or more pages, take theirs without waiting, and
// so defer later operations.
type hostLimiter struct {
	config   Config
	now      func() time.Time
	observer hostObserver

	mu       sync.Mutex
	inFlight int
	queue    waitQueue
	pause    pause
	tokens   *rate.Limiter // nil for no bound
	next     time.Time     // the last time that was given to a deferred operation
	average  float64       // requests of an operation
}

// pause is what a registry asked for.
type pause struct {
	status int
	until  time.Time
}

func newHostLimiter(config Config, now func() time.Time, observer hostObserver) *hostLimiter {
	l := &hostLimiter{config: config, now: now, observer: observer, queue: newWaitQueue(), average: 1}
	if config.PerSecond > 0 {
		l.tokens = rate.NewLimiter(rate.Limit(config.PerSecond), max(config.Burst, 1))
	}
	return l
}

// acquire admits an operation. It fails with a *BusyError if the operation has to
// return later, and with a *transport.ThrottledError during a pause.
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
	l.observer.inFlight(1)
	l.observer.waited(now.Sub(since))
	return &Ticket{limiter: l}, nil
}

// enqueue queues an operation until it is woken.
func (l *hostLimiter) enqueue(w Waiter, now time.Time) error {
	if w.Wake == nil {
		return &BusyError{Host: l.observer.host, After: pollDelay/2 + jitter(pollDelay)}
	}
	l.queue.add(w, now)
	return &BusyError{Host: l.observer.host, After: maxWait/2 + jitter(maxWait/2)}
}

// deferUntil gives an operation a time to return at: each its own, as far apart
// as the requests of an operation are at the rate.
func (l *hostLimiter) deferUntil(now time.Time) error {
	lacking := 1 - l.tokens.TokensAt(now)
	free := now.Add(l.duration(lacking))
	next := latest(l.next, free).Add(l.duration(l.average))
	after := max(next.Sub(now), minDelay)
	if after > maxDelay {
		after = maxDelay/2 + jitter(maxDelay/2)
	} else {
		l.next = next
		after += jitter(after / 10)
	}
	l.observer.waited(after)
	return &BusyError{Host: l.observer.host, After: after}
}

// duration is the time for a number of requests at the rate.
func (l *hostLimiter) duration(requests float64) time.Duration {
	return time.Duration(requests / l.config.PerSecond * float64(time.Second))
}

// paused returns a *transport.ThrottledError during a pause, with a time to return
// at that differs for each operation.
func (l *hostLimiter) paused(now time.Time) error {
	left := l.pause.until.Sub(now)
	if left <= 0 {
		return nil
	}
	return &transport.ThrottledError{StatusCode: l.pause.status, RetryAfter: left + jitter(min(left/4+time.Second, maxDelay))}
}

// startPause admits nothing until the time that the registry asked for. Then the
// rate starts without a burst.
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
	l.observer.pausedUntil(until)
}

// isIdle reports whether the limiter has no state worth keeping.
func (l *hostLimiter) isIdle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	full := l.tokens == nil || l.tokens.TokensAt(now) >= float64(l.tokens.Burst())
	return l.inFlight == 0 && full && !l.pause.until.After(now) && l.queue.len() == 0
}

// latest returns the later one of two times.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// jitter returns a random time below d.
func jitter(d time.Duration) time.Duration {
	return time.Duration(mathrand.Float64() * float64(d)) //nolint:gosec // it spreads load, and guards nothing
}
