// SPDX-License-Identifier: Apache-2.0

package tagstoretest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/tagstore"
)

func cancelled(t *testing.T, store tagstore.Store) {
	k := key("ns", "repo", "uid")
	put(t, store, k, snapshot("image", "1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErrors(t, ctx, store, k, context.Canceled)
	wantFacts(t, store, k, nil)
	wantHeld(t, store, k, snapshot("image", "1"))
}

func closed(t *testing.T, store tagstore.Store) {
	put(t, store, key("ns", "repo", "uid"), snapshot("image", "1"))
	if err := store.Close(); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	wantErrors(t, t.Context(), store, key("ns", "repo", "uid"), tagstore.ErrClosed)
}

// wantErrors expects every method to fail with the same error.
func wantErrors(t *testing.T, ctx context.Context, store tagstore.Store, k tagstore.Key, want error) {
	t.Helper()
	calls := map[string]func() error{
		"Get":    func() error { _, err := store.Get(ctx, k); return err },
		"Put":    func() error { return store.Put(ctx, k, snapshot("image", "2")) },
		"Delete": func() error { return store.Delete(ctx, k) },
		"Forget": func() error { return store.Forget(ctx, k.NamespacedName(), "") },
		"Sweep":  func() error { _, err := store.Sweep(ctx, func(tagstore.Key) bool { return false }); return err },
		"Keys":   func() error { _, err := store.Keys(ctx); return err },

		"Facts":    func() error { _, err := store.Facts(ctx, k); return err },
		"Fact":     func() error { _, err := store.Fact(ctx, k, "1"); return err },
		"PutFacts": func() error { return store.PutFacts(ctx, k, facts{"1": fact(1)}) },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, want) {
			t.Errorf("%s() returned error %v, want %v", name, err, want)
		}
	}
}

// concurrent has workers that each own some keys, and others that read, list
// and sweep them all. No reader may see a snapshot that was never put.
func concurrent(t *testing.T, store tagstore.Store) {
	const workers, rounds = 4, 40
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for round := range rounds {
				writeOwn(t, store, worker, round)
			}
		})
		wg.Go(func() {
			for round := range rounds {
				readOther(t, store, (worker+1)%workers, round)
			}
		})
	}
	wg.Wait()
	if got, err := store.Keys(t.Context()); len(got) != keysPerWorker*workers || err != nil {
		t.Errorf("Keys() = %v, %v, want %d", got, err, keysPerWorker*workers)
	}
}

const keysPerWorker = 3

// turn returns what a worker puts in a round.
func turn(worker, round int) (tagstore.Key, scan.Snapshot) {
	k := key("ns", fmt.Sprintf("repo-%d-%d", worker, round%keysPerWorker), "uid")
	return k, snapshot(k.Name, "0", fmt.Sprintf("1-%d", round))
}

// writeOwn puts a snapshot that only this worker puts, so it is there at once.
func writeOwn(t *testing.T, store tagstore.Store, worker, round int) {
	k, s := turn(worker, round)
	if err := store.Put(t.Context(), k, s); err != nil {
		t.Errorf("Put(%s) = %v", k, err)
	}
	if got, err := store.Get(t.Context(), k); err != nil || !got.Equal(s) {
		t.Errorf("Get(%s) = %v, %v, want what was put", k, got, err)
	}
}

// readOther reads what another worker may be putting, and sweeps nothing.
func readOther(t *testing.T, store tagstore.Store, worker, round int) {
	k, _ := turn(worker, round)
	got, err := store.Get(t.Context(), k)
	if err == nil && (got.Image != k.Name || len(got.Tags) != 2) || err != nil && !errors.Is(err, tagstore.ErrNotFound) {
		t.Errorf("Get(%s) = %v, %v", k, got, err)
	}
	if _, err := store.Sweep(t.Context(), func(tagstore.Key) bool { return true }); err != nil {
		t.Errorf("Sweep() = %v", err)
	}
}

// manyWriters has many callers write at once, each its own key, and every third
// remove what it wrote.
func manyWriters(t *testing.T, store tagstore.Store) {
	const writers = 100
	name := func(i int) tagstore.Key { return key("ns", fmt.Sprintf("repo-%02d", i), "uid") }
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			err := store.Put(t.Context(), name(i), snapshot("image", name(i).Name))
			switch i % 6 {
			case 0:
				err = errors.Join(err, store.Delete(t.Context(), name(i)))
			case 3:
				err = errors.Join(err, store.Forget(t.Context(), name(i).NamespacedName(), ""))
			}
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	var want []tagstore.Key
	for i := range writers {
		if i%3 == 0 {
			wantNotFound(t, store, name(i))
			continue
		}
		want = append(want, name(i))
		wantHeld(t, store, name(i), snapshot("image", name(i).Name))
	}
	wantKeys(t, store, want...)
}

// givingUp has callers whose contexts end while others write: what returned an
// error for that was not done, and all else was.
func givingUp(t *testing.T, store tagstore.Store) {
	var wg sync.WaitGroup
	for i := range 60 {
		k := key("ns", fmt.Sprintf("repo-%d", i), "uid")
		put(t, store, k, snapshot("image", "old"))
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(cancel)
		wg.Go(func() {
			err := store.Put(ctx, k, snapshot("image", "new"))
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("Put(%s) = %v", k, err)
			}
			want := map[bool]string{true: "new", false: "old"}[err == nil]
			if got, err := store.Get(t.Context(), k); err != nil || !got.Equal(snapshot("image", want)) {
				t.Errorf("Get(%s) = %v, %v, want %s", k, got.Tags, err, want)
			}
		})
	}
	wg.Wait()
}
