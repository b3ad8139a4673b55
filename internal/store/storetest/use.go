// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

func cancelled(t *testing.T, tags *store.Store) {
	k := key("ns", "repo", "uid")
	put(t, tags, k, snapshot("image", "1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErrors(t, ctx, tags, k, context.Canceled)
	wantFacts(t, tags, k, nil)
	wantStored(t, tags, k, snapshot("image", "1"))
}

func closed(t *testing.T, tags *store.Store) {
	put(t, tags, key("ns", "repo", "uid"), snapshot("image", "1"))
	if err := tags.Close(); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	wantErrors(t, t.Context(), tags, key("ns", "repo", "uid"), store.ErrClosed)
}

// wantErrors expects every method to return the same error.
func wantErrors(t *testing.T, ctx context.Context, tags *store.Store, k store.Key, want error) {
	t.Helper()
	calls := map[string]func() error{
		"Get":    func() error { _, err := tags.Get(ctx, k); return err },
		"Put":    func() error { return tags.Put(ctx, k, snapshot("image", "2")) },
		"Delete": func() error { return tags.Delete(ctx, k) },
		"Forget": func() error { return tags.Forget(ctx, k.NamespacedName(), "") },
		"Keys":   func() error { _, err := tags.Keys(ctx); return err },

		"Facts":    func() error { _, err := tags.Facts(ctx, k); return err },
		"PutFacts": func() error { return tags.PutFacts(ctx, k, facts{"1": fact(1)}) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, want) {
			t.Errorf("%s() returned error %v, want %v", name, err, want)
		}
	}
}

// concurrent runs workers that write their own keys, and others that read and list all keys. They
// must not see a snapshot that was never put.
func concurrent(t *testing.T, tags *store.Store) {
	const workers, rounds = 4, 40
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for round := range rounds {
				writeOwn(t, tags, worker, round)
			}
		})
		wg.Go(func() {
			for round := range rounds {
				readOther(t, tags, (worker+1)%workers, round)
			}
		})
	}
	wg.Wait()
	if got, err := tags.Keys(t.Context()); len(got) != keysPerWorker*workers || err != nil {
		t.Errorf("Keys() = %v, %v, want %d", got, err, keysPerWorker*workers)
	}
}

const keysPerWorker = 3

// roundData returns the key and the snapshot that a worker puts in a round.
func roundData(worker, round int) (store.Key, scan.Snapshot) {
	k := key("ns", fmt.Sprintf("repo-%d-%d", worker, round%keysPerWorker), "uid")
	return k, snapshot(k.Name, "0", fmt.Sprintf("1-%d", round))
}

// writeOwn puts a snapshot of the worker's own key, so it must be returned at once.
func writeOwn(t *testing.T, tags *store.Store, worker, round int) {
	k, s := roundData(worker, round)
	if err := tags.Put(t.Context(), k, s); err != nil {
		t.Errorf("Put(%s) = %v", k, err)
	}
	if got, err := tags.Get(t.Context(), k); err != nil || !got.Equal(s) {
		t.Errorf("Get(%s) = %v, %v, want what was put", k, got, err)
	}
}

// readOther reads a key that another worker may be writing.
func readOther(t *testing.T, tags *store.Store, worker, round int) {
	k, _ := roundData(worker, round)
	got, err := tags.Get(t.Context(), k)
	if err == nil && (got.Image != k.Name || len(got.Tags) != 2) || err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get(%s) = %v, %v", k, got, err)
	}
	if _, err := tags.Keys(t.Context()); err != nil {
		t.Errorf("Keys() = %v", err)
	}
}

// manyWriters runs many concurrent callers, each with its own key. Every third also removes it.
func manyWriters(t *testing.T, tags *store.Store) {
	const writers = 100
	name := func(i int) store.Key { return key("ns", fmt.Sprintf("repo-%02d", i), "uid") }
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			err := tags.Put(t.Context(), name(i), snapshot("image", name(i).Name))
			switch i % 6 {
			case 0:
				err = errors.Join(err, tags.Delete(t.Context(), name(i)))
			case 3:
				err = errors.Join(err, tags.Forget(t.Context(), name(i).NamespacedName(), ""))
			}
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	var want []store.Key
	for i := range writers {
		if i%3 == 0 {
			wantNotFound(t, tags, name(i))
			continue
		}
		want = append(want, name(i))
		wantStored(t, tags, name(i), snapshot("image", name(i).Name))
	}
	wantKeys(t, tags, want...)
}

// cancelledCallers cancels the contexts of callers while others write: calls with an error must
// have no effect, and all others must.
func cancelledCallers(t *testing.T, tags *store.Store) {
	var wg sync.WaitGroup
	for i := range 60 {
		k := key("ns", fmt.Sprintf("repo-%d", i), "uid")
		put(t, tags, k, snapshot("image", "old"))
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(cancel)
		wg.Go(func() {
			err := tags.Put(ctx, k, snapshot("image", "new"))
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("Put(%s) = %v", k, err)
			}
			want := map[bool]string{true: "new", false: "old"}[err == nil]
			if got, err := tags.Get(t.Context(), k); err != nil || !got.Equal(snapshot("image", want)) {
				t.Errorf("Get(%s) = %v, %v, want %s", k, got.Tags, err, want)
			}
		})
	}
	wg.Wait()
}
