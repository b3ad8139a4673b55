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
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/workqueue"
)

// fakeClock is a clock that only tests move.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock { return &fakeClock{now: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)} }

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) sleep(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// gateScene is a gate with a clock, and the callers that were woken.
type gateScene struct {
	*testing.T
	*gate
	clock *fakeClock
	woken []string
}

func newGateScene(t *testing.T, traffic Traffic) *gateScene {
	clock := newFakeClock()
	return &gateScene{T: t, clock: clock, gate: newGate("ghcr.io", traffic, clock.Now, newMetrics())}
}

// come has a caller come to the gate.
func (s *gateScene) come(key string) (*visit, time.Duration) {
	s.Helper()
	v, err := s.enter(Caller{Key: key, Wake: func() { s.woken = append(s.woken, key) }})
	if err == nil {
		return v, 0
	}
	busy, ok := errors.AsType[*BusyError](err)
	if !ok || busy.After <= 0 || busy.After > maxWait {
		s.Fatalf("%s got %v, want a BusyError with a time in bounds", key, err)
	}
	return nil, busy.After
}

// in has a caller come who must be let in.
func (s *gateScene) in(key string) *visit {
	s.Helper()
	v, after := s.come(key)
	if v == nil {
		s.Fatalf("%s was put off for %v", key, after)
	}
	return v
}

// off has a caller come who must be put off.
func (s *gateScene) off(key string) time.Duration {
	s.Helper()
	v, after := s.come(key)
	if v != nil {
		s.Fatalf("%s was let in", key)
	}
	return after
}

// wokenAre checks who was woken since the last time.
func (s *gateScene) wokenAre(want ...string) {
	s.Helper()
	if !slices.Equal(want, s.woken) {
		s.Errorf("woken: got %v, want %v", s.woken, want)
	}
	s.woken = nil
}

func TestWhoWaitsIsCalledInOrder(t *testing.T) {
	s := newGateScene(t, Traffic{InFlight: 2})
	a, b := s.in("a"), s.in("b")
	s.off("c")
	s.off("d")
	s.off("c") // who asks again keeps the place
	s.off("e")
	a.leave()
	s.wokenAre("c")
	c := s.in("c")
	b.leave()
	s.wokenAre("d")
	s.in("x") // comes by chance before the one who was called
	s.off("d")
	c.leave()
	s.wokenAre("d")
	s.in("d")
	if s.inFlight != 2 {
		t.Errorf("%d are in flight, want 2", s.inFlight)
	}
}

func TestALostCallHoldsNobodyUp(t *testing.T) {
	s := newGateScene(t, Traffic{InFlight: 1})
	a := s.in("a")
	for _, key := range []string{"gone", "b", "c"} {
		s.off(key)
	}
	a.leave()
	s.wokenAre("gone")
	s.in("x").leave() // the call may still be heard
	s.wokenAre()
	s.clock.sleep(comingTime)
	s.in("y").leave()
	s.wokenAre("b")
	s.in("b").leave()
	s.wokenAre("c")
}

func TestWhoCannotBeCalledComesBackSoon(t *testing.T) {
	s := newGateScene(t, Traffic{InFlight: 1})
	s.in("a")
	_, err := s.enter(Caller{})
	if busy, ok := errors.AsType[*BusyError](err); !ok || busy.After > 2*nextLook || busy.After < nextLook/2 {
		t.Errorf("got %v", err)
	}
	if n := s.line.order.Len(); n != 0 {
		t.Errorf("%d are in line, want none", n)
	}
}

func TestRate(t *testing.T) {
	s := newGateScene(t, Traffic{PerSecond: 10, Burst: 3})
	request := func(v *visit) {
		t.Helper()
		if err := v.request(); err != nil {
			t.Fatal(err)
		}
	}
	a := s.in("a")
	request(a) // the first request is paid for on entry
	s.in("b")
	s.in("c")
	first, second := s.off("d"), s.off("e")
	if first < 100*time.Millisecond || second < first+80*time.Millisecond {
		t.Errorf("appointments after %v and %v, want them an interval apart", first, second)
	}
	s.clock.sleep(100 * time.Millisecond)
	d := s.in("d")
	request(d)
	request(d) // a second page does not wait
	request(d)
	s.clock.sleep(200 * time.Millisecond)
	s.off("e") // but those who come after do
	s.clock.sleep(100 * time.Millisecond)
	e := s.in("e")
	e.leave() // without a request
	s.in("f")
}

func TestThrottledHost(t *testing.T) {
	s := newGateScene(t, Traffic{InFlight: 4, PerSecond: 1, Burst: 100})
	a, b := s.in("a"), s.in("b")
	_, _ = a.request(), b.request()
	a.obey(&throttledError{status: 429, after: time.Minute})
	_, refused := s.enter(Caller{Key: "c"})
	for _, err := range []error{a.request(), b.request(), refused} {
		throttled, ok := errors.AsType[*throttledError](err)
		if !ok || throttled.status != 429 || throttled.after < time.Minute || throttled.after > 80*time.Second {
			t.Errorf("got %v, want everybody to be told of the pause", throttled)
		}
	}
	a.obey(&throttledError{status: 503, after: time.Second})
	s.clock.sleep(30 * time.Second)
	err := b.request()
	if throttled, ok := errors.AsType[*throttledError](err); !ok || throttled.status != 429 {
		t.Errorf("got %v, want the longer pause", err)
	}
	a.leave()
	b.leave()
	s.clock.sleep(30 * time.Second)
	_ = s.in("d").request()
	s.off("e") // there is no burst after a pause
}

// TestNobodySpins tests that a gate is busy all the time while somebody
// waits, and that each comes about twice: once in vain, and once when called.
func TestNobodySpins(t *testing.T) {
	const callers, workers = 600, 8
	g := newGate("ghcr.io", Traffic{InFlight: 4}, time.Now, newMetrics())
	queue := workqueue.NewTypedDelayingQueue[int]()
	var tries, most, inside atomic.Int64
	var left, running sync.WaitGroup
	left.Add(callers)
	for i := range callers {
		queue.Add(i)
	}
	for range workers {
		running.Go(func() {
			for i, stop := queue.Get(); !stop; i, stop = queue.Get() {
				tries.Add(1)
				v, err := g.enter(Caller{Key: i, Wake: func() { queue.Add(i) }})
				queue.Done(i)
				if busy, ok := errors.AsType[*BusyError](err); ok {
					queue.AddAfter(i, busy.After)
					continue
				}
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				v.leave()
				left.Done()
			}
		})
	}
	left.Wait()
	queue.ShutDown()
	running.Wait()
	if tries.Load() > callers*5/2 || most.Load() > 4 {
		t.Errorf("%d tries of %d callers, %d at a time", tries.Load(), callers, most.Load())
	}
}

func TestGatesAreBounded(t *testing.T) {
	clock := newFakeClock()
	g := newGates(Traffic{InFlight: 1, PerSecond: 10, Burst: 10}, clock.Now, newMetrics())
	busy, err := g.enter("busy.example.com", Caller{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * manyGates {
		v, err := g.enter(fmt.Sprintf("host-%d.example.com", i), Caller{})
		if err != nil {
			t.Fatal(err)
		}
		_ = v.request()
		v.leave()
		clock.sleep(time.Millisecond)
	}
	if len(g.hosts) > manyGates {
		t.Errorf("%d gates, want at most %d", len(g.hosts), manyGates)
	}
	if _, err := g.enter("busy.example.com", Caller{}); err == nil {
		t.Error("a gate that is in use was forgotten")
	}
	busy.leave()
}

func TestTrafficCheck(t *testing.T) {
	cases := map[string]struct {
		reason  string
		traffic Traffic
		want    string
	}{
		"Default":   {reason: "the defaults can be kept", traffic: DefaultTraffic()},
		"Unbounded": {reason: "zero is no bound", traffic: Traffic{Burst: 1}},
		"InFlight":  {reason: "less than nothing can't be in flight", traffic: Traffic{InFlight: -1, Burst: 1}, want: "--registry-max-in-flight is -1: it must be 0 or more"},
		"Rate":      {reason: "nor be made", traffic: Traffic{PerSecond: -1, Burst: 1}, want: "--registry-qps is -1: it must be 0 or more"},
		"Slow":      {reason: "one request a day is a mistake", traffic: Traffic{PerSecond: 1e-5, Burst: 1}, want: "--registry-qps is 1e-05: it must be 0.001 or more, or 0 for no bound"},
		"Burst":     {reason: "without a burst nothing is ever made", traffic: Traffic{PerSecond: 1}, want: "--registry-burst is 0: it must be 1 or more"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := tc.traffic.Check(); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}
