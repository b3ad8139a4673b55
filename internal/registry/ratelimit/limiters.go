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
	"fmt"
	"sync"
	"time"
)

// manyLimiters is how many limiters there may be before idle ones are removed.
const manyLimiters = 1024

// BusyError means that the registry host is being asked as much as is allowed,
// so that the operation has to return later. It is no failure.
type BusyError struct {
	// Host is the registry's host, and port if it has one.
	Host string
	// After is the time after which to return, unless woken before.
	After time.Duration
}

// Error implements error.
func (b *BusyError) Error() string {
	return fmt.Sprintf("registry %s is being asked as much as is allowed", b.Host)
}

// Key identifies a limiter. Responses through a tenant's own proxy may be the
// proxy's own, and must not throttle others: so each proxy has its own limiter.
type Key struct{ Host, Proxy string }

// Observer is notified of what the limiters do, by many goroutines. The functions
// must not block.
type Observer struct {
	// Waited is called with the time for which an operation was deferred.
	Waited func(host string, wait time.Duration)
	// InFlight is called with the change of the number of operations.
	InFlight func(host string, change int)
	// PausedUntil is called when a host asked for a pause.
	PausedUntil func(host string, until time.Time)
}

// hostObserver is the Observer of one host.
type hostObserver struct {
	*Observer
	host string
}

func (o hostObserver) waited(d time.Duration)      { o.Waited(o.host, d) }
func (o hostObserver) inFlight(change int)         { o.InFlight(o.host, change) }
func (o hostObserver) pausedUntil(until time.Time) { o.PausedUntil(o.host, until) }

// Limiters has a limiter for each registry host. It is safe for concurrent use.
type Limiters struct {
	config   Config
	now      func() time.Time
	observer *Observer

	mu    sync.Mutex
	hosts map[Key]*hostLimiter
}

// New returns Limiters of the given bounds. All functions of the observer are set.
func New(config Config, now func() time.Time, observer *Observer) *Limiters {
	return &Limiters{config: config, now: now, observer: observer, hosts: map[Key]*hostLimiter{}}
}

// Acquire admits an operation, which ends with Ticket.Release. It fails with a
// *BusyError if the operation has to return later, and with a
// *transport.ThrottledError while the host wants a pause.
func (l *Limiters) Acquire(key Key, w Waiter) (*Ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock() // a limiter must not be removed between being found and being used
	found := l.hosts[key]
	if found == nil {
		l.trim()
		found = newHostLimiter(l.config, l.now, hostObserver{Observer: l.observer, host: key.Host})
		l.hosts[key] = found
	}
	return found.acquire(w)
}

// trim removes idle limiters, once there are many.
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
