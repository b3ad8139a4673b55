// SPDX-License-Identifier: Apache-2.0

package tagstoretest

import (
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/tagstore"
)

func deleteOne(t *testing.T, store tagstore.Store) {
	gone, kept := key("a", "b", "1"), key("a", "b", "12")
	put(t, store, gone, snapshot("image", "1"))
	put(t, store, kept, snapshot("image", "2"))
	for range 2 {
		if err := store.Delete(t.Context(), gone); err != nil {
			t.Fatalf("Delete() = %v", err)
		}
	}
	wantNotFound(t, store, gone)
	wantHeld(t, store, kept, snapshot("image", "2"))
	put(t, store, gone, snapshot("image", "3"))
	wantHeld(t, store, gone, snapshot("image", "3"))
}

// forget forgets every name among the tricky keys in a store that holds them
// all, and expects all others to stay.
func forget(t *testing.T, store tagstore.Store) {
	for _, target := range tricky {
		for _, keep := range []types.UID{"", target.UID, "another"} {
			for _, k := range tricky {
				put(t, store, k, snapshot("image", k.String()))
			}
			if err := store.Forget(t.Context(), target.NamespacedName(), keep); err != nil {
				t.Fatalf("Forget(%s, %q) = %v", target, keep, err)
			}
			for _, k := range tricky {
				if k.NamespacedName() == target.NamespacedName() && (keep == "" || k.UID != keep) {
					wantNotFound(t, store, k)
				} else {
					wantHeld(t, store, k, snapshot("image", k.String()))
				}
			}
		}
	}
}

func sweep(t *testing.T, store tagstore.Store) {
	var kept []tagstore.Key
	for i := range 500 {
		k := key("ns", fmt.Sprintf("repo-%03d", i), "uid")
		put(t, store, k, snapshot("image", fmt.Sprint(i)))
		if i%3 == 0 {
			kept = append(kept, k)
		}
	}
	asked := map[tagstore.Key]int{}
	keep := func(k tagstore.Key) bool {
		asked[k]++
		return slices.Contains(kept, k)
	}
	if n, err := store.Sweep(t.Context(), keep); n != 500-len(kept) || err != nil {
		t.Fatalf("Sweep() = %d, %v, want %d", n, err, 500-len(kept))
	}
	if len(asked) != 500 {
		t.Errorf("Sweep() asked for %d keys, want 500", len(asked))
	}
	wantKeys(t, store, kept...)
	if n, err := store.Sweep(t.Context(), keep); n != 0 || err != nil {
		t.Fatalf("second Sweep() = %d, %v", n, err)
	}
}

func sweepReenters(t *testing.T, store tagstore.Store) {
	k := key("ns", "repo", "uid")
	put(t, store, k, snapshot("image", "1"))
	n, err := store.Sweep(t.Context(), func(k tagstore.Key) bool {
		put(t, store, key("ns", "other", "uid"), snapshot("image", "2"))
		return store.Delete(t.Context(), k) != nil
	})
	if n != 0 || err != nil {
		t.Errorf("Sweep() of what is gone by then = %d, %v", n, err)
	}
	wantKeys(t, store, key("ns", "other", "uid"))
}
