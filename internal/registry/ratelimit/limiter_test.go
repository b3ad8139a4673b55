// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/util/workqueue"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// silent returns an observer that does nothing.
func silent() *Observer {
	return &Observer{
		Waited:      func(string, time.Duration) {},
		InFlight:    func(string, int) {},
		PausedUntil: func(string, time.Time) {},
	}
}

// fixture is a limiter with a fake clock, which records the operations that were woken.
type fixture struct {
	*testing.T
	*hostLimiter
	clock *registrytest.Clock
	woken []string
}

func newFixture(t *testing.T, config Config) *fixture {
	clock := registrytest.NewClock()
	return &fixture{T: t, clock: clock, hostLimiter: newHostLimiter("ghcr.io", config, clock.Now, silent())}
}

// come tries to acquire a ticket.
func (s *fixture) come(key string) (*Ticket, time.Duration) {
	s.Helper()
	v, err := s.acquire(Waiter{Key: key, Wake: func() { s.woken = append(s.woken, key) }})
	if err == nil {
		return v, 0
	}
	busy, ok := errors.AsType[*BusyError](err)
	if !ok || busy.After <= 0 || busy.After > maxWait {
		s.Fatalf("%s got %v, want a BusyError with a time in bounds", key, err)
	}
	return nil, busy.After
}

// in acquires a ticket, which must succeed.
func (s *fixture) in(key string) *Ticket {
	s.Helper()
	v, after := s.come(key)
	if v == nil {
		s.Fatalf("%s was deferred for %v", key, after)
	}
	return v
}

// off tries to acquire a ticket, which must fail.
func (s *fixture) off(key string) time.Duration {
	s.Helper()
	v, after := s.come(key)
	if v != nil {
		s.Fatalf("%s was admitted", key)
	}
	return after
}

// wokenAre checks who was woken since the last time.
func (s *fixture) wokenAre(want ...string) {
	s.Helper()
	if !slices.Equal(want, s.woken) {
		s.Errorf("woken: got %v, want %v", s.woken, want)
	}
	s.woken = nil
}

func TestLimiter_WakesInOrder(t *testing.T) {
	s := newFixture(t, Config{InFlight: 2})
	a, b := s.in("a"), s.in("b")
	s.off("c")
	s.off("d")
	s.off("c") // who asks again keeps the place
	s.off("e")
	a.Release()
	s.wokenAre("c")
	c := s.in("c")
	b.Release()
	s.wokenAre("d")
	s.in("x") // comes by chance before the one who was called
	s.off("d")
	c.Release()
	s.wokenAre("d")
	s.in("d")
	NewWithT(t).Expect(s.inFlight).To(Equal(2), "what are in flight, want 2")
}

func TestLimiter_SkipsLostWakeUps(t *testing.T) {
	s := newFixture(t, Config{InFlight: 1})
	a := s.in("a")
	for _, key := range []string{"gone", "b", "c"} {
		s.off(key)
	}
	a.Release()
	s.wokenAre("gone")
	s.in("x").Release() // the call may still be heard
	s.wokenAre()
	s.clock.Advance(wokenFor)
	s.in("y").Release()
	s.wokenAre("b")
	s.in("b").Release()
	s.wokenAre("c")
}

func TestLimiter_PollsWithoutWakeFunction(t *testing.T) {
	s := newFixture(t, Config{InFlight: 1})
	s.in("a")
	_, err := s.acquire(Waiter{})
	if busy, ok := errors.AsType[*BusyError](err); !ok || busy.After > 2*pollDelay || busy.After < pollDelay/2 {
		t.Errorf("got %v", err)
	}
	NewWithT(t).Expect(s.queue.len()).To(BeZero(), "what are in line, want none")
}

func TestLimiter_SpacesOperationsByRate(t *testing.T) {
	g := NewWithT(t)
	s := newFixture(t, Config{PerSecond: 10, Burst: 3})
	request := func(v *Ticket) {
		t.Helper()
		g.Expect(v.count()).To(Succeed())
	}
	a := s.in("a")
	request(a) // the first request was counted at admission
	s.in("b")
	s.in("c")
	first, second := s.off("d"), s.off("e")
	g.Expect(first).To(BeNumerically(">=", 100*time.Millisecond), "appointments after")
	g.Expect(second).To(BeNumerically(">=", first+80*time.Millisecond), "appointments after")
	s.clock.Advance(100 * time.Millisecond)
	d := s.in("d")
	request(d)
	request(d) // a second page does not wait
	request(d)
	s.clock.Advance(200 * time.Millisecond)
	s.off("e") // but those who come after do
	s.clock.Advance(100 * time.Millisecond)
	s.in("e")
}

func TestLimiter_PausesAllOperations(t *testing.T) {
	s := newFixture(t, Config{InFlight: 4, PerSecond: 1, Burst: 100})
	a, b := s.in("a"), s.in("b")
	_, _ = a.count(), b.count()
	a.limiter.startPause(&transport.ThrottledError{StatusCode: 429, RetryAfter: time.Minute})
	_, refused := s.acquire(Waiter{Key: "c"})
	for _, err := range []error{a.count(), b.count(), refused} {
		throttled, ok := errors.AsType[*transport.ThrottledError](err)
		if !ok || throttled.StatusCode != 429 || throttled.RetryAfter < time.Minute || throttled.RetryAfter > 80*time.Second {
			t.Errorf("got %v, want the pause", throttled)
		}
	}
	a.limiter.startPause(&transport.ThrottledError{StatusCode: 503, RetryAfter: time.Second})
	s.clock.Advance(30 * time.Second)
	err := b.count()
	if throttled, ok := errors.AsType[*transport.ThrottledError](err); !ok || throttled.StatusCode != 429 {
		t.Errorf("got %v, want the longer pause", err)
	}
	a.Release()
	b.Release()
	s.clock.Advance(30 * time.Second)
	_ = s.in("d").count()
	s.off("e") // there is no burst after a pause
}

// TestLimiter_OperationsDoNotSpin tests that a limiter is busy all the time while
// operations wait, and that each tries about twice: once in vain, and once when woken.
func TestLimiter_OperationsDoNotSpin(t *testing.T) {
	const callers, workers = 600, 8
	g := newHostLimiter("ghcr.io", Config{InFlight: 4}, time.Now, silent())
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
				v, err := g.acquire(Waiter{Key: i, Wake: func() { queue.Add(i) }})
				queue.Done(i)
				if busy, ok := errors.AsType[*BusyError](err); ok {
					queue.AddAfter(i, busy.After)
					continue
				}
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				v.Release()
				left.Done()
			}
		})
	}
	left.Wait()
	queue.ShutDown()
	running.Wait()
	NewWithT(t).Expect(tries.Load()).To(BeNumerically("<=", callers*5/2), "%d tries of %d callers, %d at a time", tries.Load(), callers, most.Load())
	NewWithT(t).Expect(most.Load()).To(BeNumerically("<=", 4), "%d tries of %d callers, %d at a time", tries.Load(), callers, most.Load())
}

func TestLimiters_AreBounded(t *testing.T) {
	clock := registrytest.NewClock()
	g := New(Config{InFlight: 1, PerSecond: 10, Burst: 10}, clock.Now, silent())
	busy, err := g.Acquire(Key{Host: "busy.example.com"}, Waiter{})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for i := range 3 * manyLimiters {
		v, err := g.Acquire(Key{Host: fmt.Sprintf("host-%d.example.com", i)}, Waiter{})
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		_ = v.count()
		v.Release()
		clock.Advance(time.Millisecond)
	}
	NewWithT(t).Expect(len(g.hosts)).To(BeNumerically("<=", manyLimiters), "limiters, want at most")
	NewWithT(t).Expect(g.Acquire(Key{Host: "busy.example.com"}, Waiter{})).Error().To(HaveOccurred(), "a limiter that is in use was removed")
	busy.Release()
}

func TestConfig_RejectsInvalidValues(t *testing.T) {
	cases := map[string]struct {
		reason string
		config Config
		want   string
	}{
		"Default":   {reason: "the defaults can be kept", config: DefaultConfig()},
		"Unbounded": {reason: "zero is no bound", config: Config{Burst: 1}},
		"InFlight":  {reason: "less than nothing can't be in flight", config: Config{InFlight: -1, Burst: 1}, want: "--registry-max-in-flight is -1: it must be 0 or more"},
		"Rate":      {reason: "nor be made", config: Config{PerSecond: -1, Burst: 1}, want: "--registry-qps is -1: it must be 0 or more"},
		"Slow":      {reason: "one request a day is a mistake", config: Config{PerSecond: 1e-5, Burst: 1}, want: "--registry-qps is 1e-05: it must be 0.001 or more, or 0 for no bound"},
		"Burst":     {reason: "without a burst nothing is ever made", config: Config{PerSecond: 1}, want: "--registry-burst is 0: it must be 1 or more"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := tc.config.Check(); err != nil {
				got = err.Error()
			}
			NewWithT(t).Expect(got).To(BeComparableTo(tc.want), tc.reason)
		})
	}
}
