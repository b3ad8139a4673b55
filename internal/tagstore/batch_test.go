// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// held is a store whose committer is busy until release is called.
type held struct {
	*Bolt
	t       *testing.T
	release func()
	calls   sync.WaitGroup
}

// hold opens a store and keeps its committer busy.
func hold(t *testing.T) (*held, *[]Report) {
	t.Helper()
	store, reports := opened(t, t.TempDir())
	return holdStore(t, store), reports
}

// holdStore lets the committer of a store begin a transaction that does not end.
func holdStore(t *testing.T, store *Bolt) *held {
	t.Helper()
	begun, end := make(chan struct{}), make(chan struct{})
	h := &held{Bolt: store, t: t, release: sync.OnceFunc(func() { close(end) })}
	t.Cleanup(h.release) // before the store is closed
	h.calls.Go(func() {
		err := store.update(context.Background(), 0, func(*bolt.Bucket) (growth, error) {
			close(begun)
			<-end
			return growth{}, errUnchanged
		})
		if !errors.Is(err, errUnchanged) {
			t.Errorf("a change of nothing = %v", err)
		}
	})
	<-begun
	return h
}

// call makes a call of its own goroutine, and returns when its change waits for
// the committer. The channel gets the call's error.
func (h *held) call(fn func() error) <-chan error {
	h.t.Helper()
	before := h.waiting()
	result := make(chan error, 1)
	h.calls.Go(func() { result <- fn() })
	for h.waiting() != before+1 {
		time.Sleep(100 * time.Microsecond)
	}
	return result
}

func (h *held) waiting() int {
	h.batches.mu.Lock()
	defer h.batches.mu.Unlock()
	return len(h.batches.waiting)
}

func (h *held) refuses() bool {
	h.batches.mu.Lock()
	defer h.batches.mu.Unlock()
	return h.batches.closed
}

func numbered(n int) Key { return Key{"ns", fmt.Sprintf("repo-%04d", n), "uid"} }

// putNumbered returns a call that puts the n-th key.
func (h *held) putNumbered(n int) func() error {
	return func() error { return h.Put(context.Background(), numbered(n), testSnapshot) }
}

// TestWritersShareACommit has all kinds of writes wait for a commit in flight.
func TestWritersShareACommit(t *testing.T) {
	h, _ := hold(t)
	before := h.durable.Load()
	const puts = 200
	var results []<-chan error
	for n := range puts {
		results = append(results, h.call(h.putNumbered(n)))
	}
	results = append(results,
		h.call(func() error { return h.Delete(context.Background(), numbered(0)) }),
		h.call(func() error { return h.Forget(context.Background(), numbered(1).NamespacedName(), "") }))
	h.release()
	for _, result := range results {
		if err := <-result; err != nil {
			t.Error(err)
		}
	}
	if commits := h.durable.Load() - before; commits != 1 {
		t.Errorf("%d writes took %d commits, want 1", len(results), commits)
	}
	if keys, err := h.Keys(t.Context()); err != nil || len(keys) != puts-2 || keys[0] != numbered(2) {
		t.Errorf("%d keys are held (%v), want %d", len(keys), err, puts-2)
	}
	if usage, err := h.Usage(); err != nil || usage.Records != puts-2 {
		t.Errorf("Usage() = %v, %v", usage, err)
	}
}

// TestFailureIsOnesOwn has one change fail half way.
func TestFailureIsOnesOwn(t *testing.T) {
	h, _ := hold(t)
	before := h.durable.Load()
	own := errors.New("of one")
	var results []<-chan error
	const calls = 9
	for n := range calls {
		put := h.putNumbered(n)
		if n == calls/2 {
			put = func() error {
				return h.update(context.Background(), 0, func(records *bolt.Bucket) (growth, error) {
					return growth{records: 1}, errors.Join(own, records.Put(numbered(n).encode(), nil), records.Delete(numbered(0).encode()))
				})
			}
		}
		results = append(results, h.call(put))
	}
	h.release()
	for n, result := range results {
		if err := <-result; errors.Is(err, own) != (n == calls/2) || n != calls/2 && err != nil {
			t.Errorf("call %d = %v", n, err)
		}
		if _, err := h.Get(t.Context(), numbered(n)); errors.Is(err, ErrNotFound) != (n == calls/2) {
			t.Errorf("Get(%d) = %v", n, err)
		}
	}
	if commits := h.durable.Load() - before; commits != 1 || h.records.Load() != calls-1 {
		t.Errorf("%d commits, and %d records are counted", commits, h.records.Load())
	}
}

// TestCallerGivesUp cancels callers: one that waits, and one whose write is under way.
func TestCallerGivesUp(t *testing.T) {
	h, _ := hold(t)
	ctx, cancel := context.WithCancel(t.Context())
	waits := h.call(func() error { return h.Put(ctx, numbered(0), testSnapshot) })
	stays := h.call(h.putNumbered(1))
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Errorf("Put() of a caller that gave up = %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	started := h.call(func() error {
		return h.update(ctx, 0, func(records *bolt.Bucket) (growth, error) {
			cancel()
			return growth{records: 1}, records.Put(numbered(2).encode(), nil)
		})
	})
	h.release()
	for _, result := range []<-chan error{stays, started} {
		if err := <-result; err != nil {
			t.Errorf("a write that began = %v", err)
		}
	}
	if keys, err := h.Keys(t.Context()); err != nil || !slices.Equal(keys, []Key{numbered(1), numbered(2)}) {
		t.Errorf("Keys() = %v, %v", keys, err)
	}
}

// TestBatchesAreBounded has changes that are too large for one transaction.
func TestBatchesAreBounded(t *testing.T) {
	h, _ := hold(t)
	before := h.durable.Load()
	var results []<-chan error
	sizes := []int{maxBatchBytes / 2, maxBatchBytes / 2, 1, 3 * maxBatchBytes, 1, 1}
	for n, size := range sizes {
		results = append(results, h.call(func() error {
			return h.update(context.Background(), size, func(records *bolt.Bucket) (growth, error) {
				return growth{records: 1}, records.Put(numbered(n).encode(), nil)
			})
		}))
	}
	h.release()
	for n, result := range results {
		if err := <-result; err != nil {
			t.Errorf("change %d = %v", n, err)
		}
	}
	if commits := h.durable.Load() - before; commits != 4 {
		t.Errorf("changes of %d bytes took %d commits, want 4", sizes, commits)
	}
}

// TestPanicReachesAllCallers has bbolt panic in the middle of a batch.
func TestPanicReachesAllCallers(t *testing.T) {
	h, reports := hold(t)
	results := []<-chan error{
		h.call(h.putNumbered(0)),
		h.call(func() error {
			return h.update(context.Background(), 0, func(*bolt.Bucket) (growth, error) { panic("damage") })
		}),
		h.call(h.putNumbered(1)),
	}
	h.release()
	for i, result := range results {
		if err := <-result; !errors.Is(err, ErrDamaged) {
			t.Errorf("call %d = %v, want ErrDamaged", i, err)
		}
	}
	if err := h.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	wantKinds(t, *reports, FileDamaged)
}

// TestCloseWaitsForWriters closes a store while writes wait.
func TestCloseWaitsForWriters(t *testing.T) {
	h, _ := hold(t)
	put := h.call(h.putNumbered(0))
	closed := make(chan error)
	go func() { closed <- h.Close() }()
	for !h.refuses() {
		time.Sleep(100 * time.Microsecond)
	}
	select {
	case err := <-closed:
		t.Errorf("Close() = %v did not wait", err)
	default:
	}
	h.release()
	if err := errors.Join(<-put, <-closed); err != nil {
		t.Error(err)
	}
	if err := h.Delete(t.Context(), testKey); !errors.Is(err, ErrClosed) {
		t.Errorf("Delete() of a closed store = %v", err)
	}
}

// TestUnchangedIsDurableToo puts what can be seen, but may not be on the disk:
// that has to wait for the committer, and is not written again.
func TestUnchangedIsDurableToo(t *testing.T) {
	store, _ := opened(t, t.TempDir())
	wantWorks(t, store)
	wantWorks(t, store)
	h := holdStore(t, store)
	seen := store.durable.Add(-1) // as while a commit is in flight
	put := h.call(func() error { return store.Put(context.Background(), testKey, testSnapshot) })
	h.release()
	if err := <-put; err != nil || store.durable.Load() != seen {
		t.Errorf("Put() = %v, and transaction %d was written", err, store.durable.Load())
	}
}
