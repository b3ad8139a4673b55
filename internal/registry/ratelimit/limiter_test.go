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

// noopObserver returns an observer that does nothing.
func noopObserver() *Observer {
	return &Observer{
		Waited:      func(string, time.Duration) {},
		InFlight:    func(string, int) {},
		PausedUntil: func(string, time.Time) {},
	}
}

// fixture is a limiter with a fake clock. It records the operations that were woken.
type fixture struct {
	*testing.T
	*hostLimiter
	clock *registrytest.Clock
	woken []string
}

func newFixture(t *testing.T, config Config) *fixture {
	clock := registrytest.NewClock()
	return &fixture{T: t, clock: clock, hostLimiter: newHostLimiter("ghcr.io", config, clock.Now, noopObserver())}
}

// tryAcquire tries to acquire a ticket. Without a ticket it returns the delay.
func (f *fixture) tryAcquire(key string) (*Ticket, time.Duration) {
	f.Helper()
	ticket, err := f.acquire(Waiter{Key: key, Wake: func() { f.woken = append(f.woken, key) }})
	if err == nil {
		return ticket, 0
	}
	busy, ok := errors.AsType[*BusyError](err)
	if !ok || busy.After <= 0 || busy.After > maxWait {
		f.Fatalf("%s: got %v, want a BusyError with a valid delay", key, err)
	}
	return nil, busy.After
}

// mustAcquire acquires a ticket, which must succeed.
func (f *fixture) mustAcquire(key string) *Ticket {
	f.Helper()
	ticket, delay := f.tryAcquire(key)
	if ticket == nil {
		f.Fatalf("%s: got delay %v, want a ticket", key, delay)
	}
	return ticket
}

// mustWait tries to acquire a ticket, which must fail, and returns the delay.
func (f *fixture) mustWait(key string) time.Duration {
	f.Helper()
	ticket, delay := f.tryAcquire(key)
	if ticket != nil {
		f.Fatalf("%s: got a ticket, want a delay", key)
	}
	return delay
}

// checkWoken checks which operations were woken since the last check.
func (f *fixture) checkWoken(want ...string) {
	f.Helper()
	if !slices.Equal(want, f.woken) {
		f.Errorf("woken: got %v, want %v", f.woken, want)
	}
	f.woken = nil
}

func TestLimiter_WakesInOrder(t *testing.T) {
	f := newFixture(t, Config{InFlight: 2})
	a, b := f.mustAcquire("a"), f.mustAcquire("b")
	f.mustWait("c")
	f.mustWait("d")
	f.mustWait("c") // a retry keeps its position
	f.mustWait("e")
	a.Release()
	f.checkWoken("c")
	c := f.mustAcquire("c")
	b.Release()
	f.checkWoken("d")
	f.mustAcquire("x") // arrives before the woken operation
	f.mustWait("d")
	c.Release()
	f.checkWoken("d")
	f.mustAcquire("d")
	NewWithT(t).Expect(f.inFlight).To(Equal(2), "operations in flight")
}

func TestLimiter_SkipsLostWakeUps(t *testing.T) {
	f := newFixture(t, Config{InFlight: 1})
	a := f.mustAcquire("a")
	for _, key := range []string{"lost", "b", "c"} {
		f.mustWait(key)
	}
	a.Release()
	f.checkWoken("lost")
	f.mustAcquire("x").Release() // the wake-up may still be followed
	f.checkWoken()
	f.clock.Advance(wokenFor)
	f.mustAcquire("y").Release()
	f.checkWoken("b")
	f.mustAcquire("b").Release()
	f.checkWoken("c")
}

func TestLimiter_PollsWithoutWakeFunction(t *testing.T) {
	f := newFixture(t, Config{InFlight: 1})
	f.mustAcquire("a")
	_, err := f.acquire(Waiter{})
	if busy, ok := errors.AsType[*BusyError](err); !ok || busy.After > 2*pollDelay || busy.After < pollDelay/2 {
		t.Errorf("got %v", err)
	}
	NewWithT(t).Expect(f.queue.len()).To(BeZero(), "waiting operations")
}

func TestLimiter_SpacesOperationsByRate(t *testing.T) {
	g := NewWithT(t)
	f := newFixture(t, Config{PerSecond: 10, Burst: 3})
	request := func(ticket *Ticket) {
		t.Helper()
		g.Expect(ticket.count()).To(Succeed())
	}
	a := f.mustAcquire("a")
	request(a) // the first request was counted by acquire
	f.mustAcquire("b")
	f.mustAcquire("c")
	first, second := f.mustWait("d"), f.mustWait("e")
	g.Expect(first).To(BeNumerically(">=", 100*time.Millisecond), "delay")
	g.Expect(second).To(BeNumerically(">=", first+80*time.Millisecond), "delay")
	f.clock.Advance(100 * time.Millisecond)
	d := f.mustAcquire("d")
	request(d)
	request(d) // further requests of an operation don't wait
	request(d)
	f.clock.Advance(200 * time.Millisecond)
	f.mustWait("e") // but later operations do
	f.clock.Advance(100 * time.Millisecond)
	f.mustAcquire("e")
}

func TestLimiter_PausesAllOperations(t *testing.T) {
	f := newFixture(t, Config{InFlight: 4, PerSecond: 1, Burst: 100})
	a, b := f.mustAcquire("a"), f.mustAcquire("b")
	_, _ = a.count(), b.count()
	a.limiter.startPause(&transport.ThrottledError{StatusCode: 429, RetryAfter: time.Minute})
	_, refused := f.acquire(Waiter{Key: "c"})
	for _, err := range []error{a.count(), b.count(), refused} {
		throttled, ok := errors.AsType[*transport.ThrottledError](err)
		if !ok || throttled.StatusCode != 429 || throttled.RetryAfter < time.Minute || throttled.RetryAfter > 80*time.Second {
			t.Errorf("got %v, want the pause", throttled)
		}
	}
	a.limiter.startPause(&transport.ThrottledError{StatusCode: 503, RetryAfter: time.Second})
	f.clock.Advance(30 * time.Second)
	err := b.count()
	if throttled, ok := errors.AsType[*transport.ThrottledError](err); !ok || throttled.StatusCode != 429 {
		t.Errorf("got %v, want the longer pause", err)
	}
	a.Release()
	b.Release()
	f.clock.Advance(30 * time.Second)
	_ = f.mustAcquire("d").count()
	f.mustWait("e") // a pause is not followed by a burst
}

// TestLimiter_OperationsDoNotSpin tests that the limiter is fully used while operations wait, and
// that each operation tries about twice: once before it waits, and once when woken.
func TestLimiter_OperationsDoNotSpin(t *testing.T) {
	const operations, workers = 600, 8
	g := newHostLimiter("ghcr.io", Config{InFlight: 4}, time.Now, noopObserver())
	queue := workqueue.NewTypedDelayingQueue[int]()
	var tries, peak, inFlight atomic.Int64
	var pending, running sync.WaitGroup
	pending.Add(operations)
	for i := range operations {
		queue.Add(i)
	}
	for range workers {
		running.Go(func() {
			for i, stop := queue.Get(); !stop; i, stop = queue.Get() {
				tries.Add(1)
				ticket, err := g.acquire(Waiter{Key: i, Wake: func() { queue.Add(i) }})
				queue.Done(i)
				if busy, ok := errors.AsType[*BusyError](err); ok {
					queue.AddAfter(i, busy.After)
					continue
				}
				peak.Store(max(peak.Load(), inFlight.Add(1)))
				time.Sleep(time.Millisecond)
				inFlight.Add(-1)
				ticket.Release()
				pending.Done()
			}
		})
	}
	pending.Wait()
	queue.ShutDown()
	running.Wait()
	NewWithT(t).Expect(tries.Load()).To(BeNumerically("<=", operations*5/2), "%d tries of %d operations, %d at the same time", tries.Load(), operations, peak.Load())
	NewWithT(t).Expect(peak.Load()).To(BeNumerically("<=", 4), "%d tries of %d operations, %d at the same time", tries.Load(), operations, peak.Load())
}

func TestLimiters_AreBounded(t *testing.T) {
	clock := registrytest.NewClock()
	g := New(Config{InFlight: 1, PerSecond: 10, Burst: 10}, clock.Now, noopObserver())
	busy, err := g.Acquire(Key{Host: "busy.example.com"}, Waiter{})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for i := range 3 * manyLimiters {
		ticket, err := g.Acquire(Key{Host: fmt.Sprintf("host-%d.example.com", i)}, Waiter{})
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		_ = ticket.count()
		ticket.Release()
		clock.Advance(time.Millisecond)
	}
	NewWithT(t).Expect(len(g.hosts)).To(BeNumerically("<=", manyLimiters), "limiters")
	NewWithT(t).Expect(g.Acquire(Key{Host: "busy.example.com"}, Waiter{})).Error().To(HaveOccurred(), "a limiter in use must not be removed")
	busy.Release()
}

func TestConfig_RejectsInvalidValues(t *testing.T) {
	cases := map[string]struct {
		reason string
		config Config
		want   string
	}{
		"Default":   {reason: "the defaults are valid", config: DefaultConfig()},
		"Unbounded": {reason: "zero is unlimited", config: Config{Burst: 1}},
		"InFlight":  {reason: "negative limit", config: Config{InFlight: -1, Burst: 1}, want: "--registry-max-in-flight is -1: it must be 0 or more"},
		"Rate":      {reason: "negative rate", config: Config{PerSecond: -1, Burst: 1}, want: "--registry-qps is -1: it must be 0 or more"},
		"Slow":      {reason: "one request a day is too slow", config: Config{PerSecond: 1e-5, Burst: 1}, want: "--registry-qps is 1e-05: it must be 0.001 or more, or 0 for no bound"},
		"Burst":     {reason: "without a burst no request is ever allowed", config: Config{PerSecond: 1}, want: "--registry-burst is 0: it must be 1 or more"},
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
