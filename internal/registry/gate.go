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
	// others come first.
	maxDeferral = 30 * time.Second
	// minDeferral keeps those who were put off from coming back in no time.
	minDeferral = 5 * time.Millisecond
	// firstGuess is how long an operation takes before any was seen.
	firstGuess = 100 * time.Millisecond
)

// gate lets the operations of one registry host in.
//
// Nobody waits in it: an operation that can't go on now is given an
// appointment, which is about when those before it will be through, and comes
// back then. Appointments are a little closer together than the operations of
// the past took, so that there is always somebody at the gate. Who comes back too
// early gets another one.
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
	typical  time.Duration // of an operation
	paid     time.Time     // until when the requests so far use up the rate
	next     time.Time     // the last appointment
	pause    pause
}

// pause is what a registry asked for.
type pause struct {
	status int
	until  time.Time
}

// visit is one operation that was let in.
type visit struct {
	gate   *gate
	begun  time.Time
	unused bool // the request with which it was let in was not made yet
}

// newGate returns the gate of a host.
func newGate(host string, traffic Traffic, now func() time.Time, m *metrics) *gate {
	return &gate{host: host, traffic: traffic, now: now, metrics: m, typical: firstGuess}
}

// enter lets an operation in, or else fails with a *BusyError. A host that
// asked for a pause has no rate to keep to: its operations end at their first
// request.
func (g *gate) enter() (*visit, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if g.traffic.InFlight > 0 && g.inFlight >= g.traffic.InFlight {
		return nil, g.putOff(now, now)
	}
	if free := g.free(); free.After(now) && !now.Before(g.pause.until) {
		return nil, g.putOff(now, free)
	}
	g.inFlight++
	g.spend(now)
	g.metrics.setInFlight(g.host, 1)
	return &visit{gate: g, begun: now, unused: true}, nil
}

// leave ends the visit.
func (v *visit) leave() {
	g := v.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	g.metrics.setInFlight(g.host, -1)
	if v.unused {
		v.unused = false
		g.paid = g.paid.Add(-g.interval())
		return
	}
	took := min(g.now().Sub(v.begun), maxDeferral)
	g.typical += (took - g.typical) / 8
}

// request asks for leave to make a request. It fails with a *throttledError
// while the registry wants to be left alone.
func (v *visit) request() error {
	g := v.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if rest := g.pause.until.Sub(now); rest > 0 {
		return &throttledError{status: g.pause.status, after: rest + upTo(min(rest/4+time.Second, maxDeferral))}
	}
	if v.unused {
		v.unused = false
		return nil
	}
	g.spend(now)
	return nil
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

// putOff gives an appointment, no earlier than a time.
func (g *gate) putOff(now, earliest time.Time) error {
	next := latest(g.next, earliest).Add(g.pace())
	after := max(next.Sub(now), minDeferral)
	if after > maxDeferral {
		after = maxDeferral/2 + upTo(maxDeferral/2)
	} else {
		g.next = next
		after += upTo(after / 10)
	}
	g.metrics.observeDeferral(g.host, after)
	return &BusyError{Host: g.host, After: after}
}

// pace is the time between two appointments.
func (g *gate) pace() time.Duration {
	pace := g.interval()
	if g.traffic.InFlight > 0 {
		pace = max(pace, g.typical*4/5/time.Duration(g.traffic.InFlight))
	}
	return pace
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
	return g.inFlight == 0 && !g.paid.After(now) && !g.pause.until.After(now) && !g.next.After(now)
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
