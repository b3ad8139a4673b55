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
	"math/rand/v2"
	"sync"
	"time"
)

// Traffic bounds what all operations together do to one registry host. The
// zero value of a field is no bound.
type Traffic struct {
	// InFlight is how many operations are under way at a time. One operation
	// makes one request at a time.
	InFlight int
	// PerSecond is how many requests are made in the long run.
	PerSecond float64
	// Burst is how many requests may be made at once after a time without any.
	Burst int
}

// DefaultTraffic returns the bounds of a Client.
func DefaultTraffic() Traffic { return Traffic{InFlight: 16, PerSecond: 100, Burst: 1000} }

const (
	// maxDeferral is the longest time for which an operation is put off because
	// of the rate.
	maxDeferral = 30 * time.Second
	// minDeferral keeps those who were put off from coming back in no time.
	minDeferral = 5 * time.Millisecond
	// maxWait is the longest time for which somebody waits to be called. It
	// matters only where a call was lost.
	maxWait = time.Minute
	// nextLook is about when somebody comes back who can't be called.
	nextLook = 200 * time.Millisecond
)

// gate lets the operations of one registry host in.
//
// Nobody waits in it. Where as many operations are under way as may be, a caller
// gets a place in a line, and is called when one of them has ended. Where the rate
// is used up, a caller gets an appointment.
//
// The rate is counted in requests. An operation is let in where there is one
// left for it. Its later requests, for a token or more pages, don't wait: they
// are borrowed, and those who come after it wait the longer.
type gate struct {
	host    string
	traffic Traffic
	now     func() time.Time
	metrics *metrics

	mu       sync.Mutex
	inFlight int
	line     line
	pause    pause
	paid     time.Time // until when the requests so far use up the rate
	next     time.Time // the last appointment
	each     float64   // how many requests an operation makes
}

// pause is what a registry asked for.
type pause struct {
	status int
	until  time.Time
}

// visit is one operation that was let in. The request with which it was let in
// is paid for before it is made.
type visit struct {
	gate     *gate
	requests int // that were made
}

// newGate returns the gate of a host.
func newGate(host string, traffic Traffic, now func() time.Time, m *metrics) *gate {
	return &gate{host: host, traffic: traffic, now: now, metrics: m, line: newLine(), each: 1}
}

// enter lets an operation in, or else fails with a *BusyError, or with a
// *throttledError while the registry wants to be left alone.
func (g *gate) enter(caller Caller) (*visit, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	paused := g.paused(now)
	if paused == nil && g.traffic.InFlight > 0 && g.inFlight >= g.traffic.InFlight {
		return nil, g.wait(caller, now)
	}
	since := g.line.quit(caller.Key, now)
	if paused != nil {
		return nil, paused
	}
	if free := g.free(); free.After(now) {
		return nil, g.putOff(now, free)
	}
	g.inFlight++
	g.spend(now)
	g.metrics.setInFlight(g.host, 1)
	g.metrics.observeWait(g.host, now.Sub(since))
	return &visit{gate: g}, nil
}

// leave ends the visit, and calls whoever is next.
func (v *visit) leave() {
	for _, wake := range v.gate.end(v) {
		wake()
	}
}

// end ends a visit, and returns how to wake those who may come now.
func (g *gate) end(v *visit) []func() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	g.metrics.setInFlight(g.host, -1)
	if v.requests == 0 {
		g.paid = g.paid.Add(-g.interval())
	} else {
		g.each += (float64(v.requests) - g.each) / 16
	}
	return g.line.call(g.traffic.InFlight-g.inFlight, g.now())
}

// request asks for leave to make a request. It fails with a *throttledError
// while the registry wants to be left alone.
func (v *visit) request() error {
	g := v.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if paused := g.paused(now); paused != nil {
		return paused
	}
	if v.requests++; v.requests > 1 {
		g.spend(now)
	}
	return nil
}

// paused returns a *throttledError while the registry wants to be left alone. Those
// who come back after it do so one by one.
func (g *gate) paused(now time.Time) error {
	rest := g.pause.until.Sub(now)
	if rest <= 0 {
		return nil
	}
	return &throttledError{status: g.pause.status, after: rest + upTo(min(rest/4+time.Second, maxDeferral))}
}

// obey notes that the registry wants to be left alone. After the pause the rate
// starts without a burst.
func (v *visit) obey(t *throttledError) {
	g := v.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	until := g.now().Add(t.after)
	if until.Before(g.pause.until) {
		return
	}
	g.pause = pause{status: t.status, until: until}
	g.paid = latest(g.paid, until.Add(g.tolerance()))
	g.metrics.setPaused(g.host, until)
}

// wait gives a caller a place in the line.
func (g *gate) wait(caller Caller, now time.Time) error {
	if caller.Wake == nil {
		return &BusyError{Host: g.host, After: nextLook/2 + upTo(nextLook)}
	}
	g.line.join(caller, now)
	return &BusyError{Host: g.host, After: maxWait/2 + upTo(maxWait/2)}
}

// putOff gives an appointment, no earlier than a time.
func (g *gate) putOff(now, earliest time.Time) error {
	next := latest(g.next, earliest).Add(time.Duration(g.each * float64(g.interval())))
	after := max(next.Sub(now), minDeferral)
	if after > maxDeferral {
		after = maxDeferral/2 + upTo(maxDeferral/2)
	} else {
		g.next = next
		after += upTo(after / 10)
	}
	g.metrics.observeWait(g.host, after)
	return &BusyError{Host: g.host, After: after}
}

// interval is the time between two requests at the rate.
func (g *gate) interval() time.Duration {
	if g.traffic.PerSecond <= 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / g.traffic.PerSecond)
}

// tolerance is how far ahead of the rate the requests may be.
func (g *gate) tolerance() time.Duration {
	return time.Duration(max(g.traffic.Burst-1, 0)) * g.interval()
}

// free is when the rate allows the next request.
func (g *gate) free() time.Time { return g.paid.Add(-g.tolerance()) }

// spend counts a request.
func (g *gate) spend(now time.Time) { g.paid = latest(g.paid, now).Add(g.interval()) }

// idle reports whether the gate has nothing to remember.
func (g *gate) idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	return g.inFlight == 0 && !g.paid.After(now) && !g.pause.until.After(now) && g.line.order.Len() == 0
}

// latest returns the later one of two times.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// upTo returns a random time below d.
func upTo(d time.Duration) time.Duration {
	return time.Duration(rand.Float64() * float64(d)) //nolint:gosec // it spreads load, and guards nothing
}
