// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/store"
)

func deleteOne(t *testing.T, tags *store.Store) {
	gone, kept := key("a", "b", "1"), key("a", "b", "12")
	put(t, tags, gone, snapshot("image", "1"))
	put(t, tags, kept, snapshot("image", "2"))
	for range 2 {
		if err := tags.Delete(t.Context(), gone); err != nil {
			t.Fatalf("Delete() = %v", err)
		}
	}
	wantNotFound(t, tags, gone)
	wantHeld(t, tags, kept, snapshot("image", "2"))
	put(t, tags, gone, snapshot("image", "3"))
	wantHeld(t, tags, gone, snapshot("image", "3"))
}

// forget forgets every name among the tricky keys in a store that holds them
// all, and expects all others to stay.
func forget(t *testing.T, tags *store.Store) {
	for _, target := range tricky {
		for _, keep := range []types.UID{"", target.UID, "another"} {
			for _, k := range tricky {
				put(t, tags, k, snapshot("image", k.String()))
			}
			if err := tags.Forget(t.Context(), target.NamespacedName(), keep); err != nil {
				t.Fatalf("Forget(%s, %q) = %v", target, keep, err)
			}
			for _, k := range tricky {
				if k.NamespacedName() == target.NamespacedName() && (keep == "" || k.UID != keep) {
					wantNotFound(t, tags, k)
				} else {
					wantHeld(t, tags, k, snapshot("image", k.String()))
				}
			}
		}
	}
}
