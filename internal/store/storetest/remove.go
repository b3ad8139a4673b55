// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/store"
)

func deleteOne(t *testing.T, tags *store.Store) {
	removed, kept := key("a", "b", "1"), key("a", "b", "12")
	put(t, tags, removed, snapshot("image", "1"))
	put(t, tags, kept, snapshot("image", "2"))
	for range 2 {
		if err := tags.Delete(t.Context(), removed); err != nil {
			t.Fatalf("Delete() = %v", err)
		}
	}
	wantNotFound(t, tags, removed)
	wantStored(t, tags, kept, snapshot("image", "2"))
	put(t, tags, removed, snapshot("image", "3"))
	wantStored(t, tags, removed, snapshot("image", "3"))
}

// forget calls Forget for the name of each of the similar keys, and expects the other keys to be
// unchanged.
func forget(t *testing.T, tags *store.Store) {
	for _, target := range similarKeys {
		for _, keep := range []types.UID{"", target.UID, "another"} {
			for _, k := range similarKeys {
				put(t, tags, k, snapshot("image", k.String()))
			}
			if err := tags.Forget(t.Context(), target.NamespacedName(), keep); err != nil {
				t.Fatalf("Forget(%s, %q) = %v", target, keep, err)
			}
			for _, k := range similarKeys {
				if k.NamespacedName() == target.NamespacedName() && (keep == "" || k.UID != keep) {
					wantNotFound(t, tags, k)
				} else {
					wantStored(t, tags, k, snapshot("image", k.String()))
				}
			}
		}
	}
}
