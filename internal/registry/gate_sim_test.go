package registry

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/util/workqueue"
)

func simulate(t *testing.T, n, workers int, traffic Traffic, op func(i int) time.Duration) (time.Duration, int64) {
	g := newGate("h", traffic, time.Now, newMetrics())
	q := workqueue.NewTypedDelayingQueue[int]()
	var tries atomic.Int64
	var wg, done sync.WaitGroup
	done.Add(n)
	start := time.Now()
	for i := range n {
		q.Add(i)
	}
	for range workers {
		wg.Go(func() {
			for {
				i, stop := q.Get()
				if stop {
					return
				}
				tries.Add(1)
				v, err := g.enter(Caller{Key: i, Wake: func() { q.Add(i) }})
				q.Done(i)
				if busy, ok := errors.AsType[*BusyError](err); ok {
					q.AddAfter(i, busy.After)
					continue
				}
				_ = v.request()
				time.Sleep(op(i))
				v.leave()
				done.Done()
			}
		})
	}
	done.Wait()
	took := time.Since(start)
	q.ShutDown()
	wg.Wait()
	return took, tries.Load()
}

var _ = context.Background

func TestSim(t *testing.T) {
	for _, n := range []int{100, 300, 1000, 5000} {
		for _, d := range []time.Duration{20 * time.Millisecond, 40 * time.Millisecond, 200 * time.Millisecond} {
			if time.Duration(n)*d/16 > 15*time.Second {
				continue
			}
			took, tries := simulate(t, n, 32, Traffic{InFlight: 16}, func(int) time.Duration { return d })
			t.Logf("n=%d d=%v: took %v ideal %v, tries %d", n, d, took.Round(time.Millisecond), time.Duration(n)*d/16, tries)
		}
	}
}
