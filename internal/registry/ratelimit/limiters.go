// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"fmt"
	"sync"
	"time"
)

// manyLimiters is the number of limiters at which idle ones are removed.
const manyLimiters = 1024

// BusyError means that the registry host's limits are exhausted, so that the caller has to
// retry later. It is not a failure.
type BusyError struct {
	// Host is the registry's host, and port if it has one.
	Host string
	// After is the delay of the retry, unless the Waiter is woken before.
	After time.Duration
}

// Error implements error.
func (b *BusyError) Error() string {
	return fmt.Sprintf("the limits of registry %s are exhausted", b.Host)
}

// Key identifies a limiter. Each proxy has its own, because a tenant's proxy can
// forge responses, which must not throttle other tenants.
type Key struct{ Host, Proxy string }

// Observer is notified by the limiters, concurrently. Its functions must not block.
type Observer struct {
	// Waited is called with the time for which an operation was deferred.
	Waited func(host string, wait time.Duration)
	// InFlight is called with the change of the number of operations in flight.
	InFlight func(host string, change int)
	// PausedUntil is called when a host requests a pause.
	PausedUntil func(host string, until time.Time)
}

// Limiters has a limiter for each registry host. It is safe for concurrent use.
type Limiters struct {
	config   Config
	now      func() time.Time
	observer *Observer

	mu    sync.Mutex
	hosts map[Key]*hostLimiter
}

// New returns Limiters with the given bounds. The observer must have all functions.
func New(config Config, now func() time.Time, observer *Observer) *Limiters {
	return &Limiters{config: config, now: now, observer: observer, hosts: map[Key]*hostLimiter{}}
}

// Acquire admits an operation, which ends with Ticket.Release. It fails with a *BusyError
// if the caller has to retry later, and with a *transport.ThrottledError during a pause
// that the host requested.
func (l *Limiters) Acquire(key Key, w Waiter) (*Ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock() // after acquire, so that trim can't remove the limiter before
	limiter := l.hosts[key]
	if limiter == nil {
		l.trim()
		limiter = newHostLimiter(key.Host, l.config, l.now, l.observer)
		l.hosts[key] = limiter
	}
	return limiter.acquire(w)
}

// trim removes idle limiters if there are many.
func (l *Limiters) trim() {
	if len(l.hosts) < manyLimiters {
		return
	}
	for key, limiter := range l.hosts {
		if limiter.isIdle() {
			delete(l.hosts, key)
		}
	}
}
