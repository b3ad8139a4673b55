// SPDX-License-Identifier: Apache-2.0

package tagstoretest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/tagstore"
)

func roundTrip(t *testing.T, store tagstore.Store) {
	for i, s := range []scan.Snapshot{
		{},
		{Image: "registry.example/empty", Since: 1},
		snapshot("registry.example/one", "latest"),
		snapshot("registry.example/kin", "1", "1.0", "1.0.0", "1.0.0-rc.1", "1.0.1", "v1"),
		snapshot("registry.example/bytes", "", "\x00", "\x00\x00", "a\xff", "\xff"),
		{Image: "registry.example/times", Tags: []string{"a", "b", "c", "d"}, Since: -5,
			FirstSeen: []int64{-1 << 63, 1<<63 - 1, 0, 1<<63 - 1}},
	} {
		k := key("ns", fmt.Sprintf("repo-%d", i), "uid")
		put(t, store, k, s)
		wantHeld(t, store, k, s)
		put(t, store, k, s)
		wantHeld(t, store, k, s)
	}
}

func notFound(t *testing.T, store tagstore.Store) {
	wantNotFound(t, store, key("ns", "repo", "uid"))
	wantKeys(t, store)
	if err := store.Delete(t.Context(), key("ns", "repo", "uid")); err != nil {
		t.Errorf("Delete() of nothing = %v", err)
	}
	if err := store.Forget(t.Context(), types.NamespacedName{Namespace: "ns", Name: "repo"}, ""); err != nil {
		t.Errorf("Forget() of nothing = %v", err)
	}
	if n, err := store.Sweep(t.Context(), func(tagstore.Key) bool { return false }); n != 0 || err != nil {
		t.Errorf("Sweep() of nothing = %d, %v", n, err)
	}
}

func replace(t *testing.T, store tagstore.Store) {
	k := key("ns", "repo", "uid")
	put(t, store, k, snapshot("image", "1", "2", "3"))
	put(t, store, k, snapshot("image", "2"))
	wantHeld(t, store, k, snapshot("image", "2"))
	later := snapshot("image", "2")
	later.FirstSeen[0]++
	put(t, store, k, later)
	wantHeld(t, store, k, later)
	put(t, store, k, snapshot("other", "2"))
	wantHeld(t, store, k, snapshot("other", "2"))
	wantKeys(t, store, k)
}

// tricky are keys that an encoding without care would mix up.
var tricky = []tagstore.Key{
	key("", "", ""),
	key("", "", "a"),
	key("", "a", ""),
	key("a", "", ""),
	key("a", "b", ""),
	key("a", "b", "1"),
	key("a", "b", "12"),
	key("a", "b/1", "2"),
	key("a", "b1", "2"),
	key("a", "bc", "1"),
	key("a/b", "", "1"),
	key("a/b", "1", "2"),
	key("ab", "", "1"),
	key("ab", "1", "2"),
	key("a\x00b", "1", "2"),
	key("a", "\x00b", "1"),
}

func isolation(t *testing.T, store tagstore.Store) {
	for i, k := range tricky {
		put(t, store, k, snapshot("image", fmt.Sprint(i)))
	}
	for i, k := range tricky {
		wantHeld(t, store, k, snapshot("image", fmt.Sprint(i)))
	}
	wantNotFound(t, store, key("a", "b", "123"))
	wantKeys(t, store, slices.SortedFunc(slices.Values(tricky), tagstore.Key.Compare)...)
}

func keys(t *testing.T, store tagstore.Store) {
	want := []tagstore.Key{
		key("a", "long-name", "1"), key("a", "z", "1"), key("a", "z", "2"), key("b", "a", "1"), key("longer", "a", "1"),
	}
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(len(want)) {
		put(t, store, want[i], snapshot("image"))
	}
	wantKeys(t, store, want...)
}

func large(t *testing.T, store tagstore.Store) {
	tags := make([]string, 100_000)
	for i := range tags {
		tags[i] = fmt.Sprintf("v1.%d.%d-build.%d", i/1000, i%1000, i*7919)
	}
	slices.Sort(tags)
	k, s := key("ns", "large", "uid"), snapshot("image", tags...)
	put(t, store, k, s)
	wantHeld(t, store, k, s)
	put(t, store, k, snapshot("image", "1"))
	wantHeld(t, store, k, snapshot("image", "1"))
}

func aliasing(t *testing.T, store tagstore.Store) {
	k := key("ns", "repo", "uid")
	s := snapshot("image", "a", "b")
	put(t, store, k, s)
	s.Tags[0], s.FirstSeen[0] = "changed", 0
	got, err := store.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("Get() = %v", err)
	}
	got.Tags[1], got.FirstSeen[1] = "changed", 0
	wantHeld(t, store, k, snapshot("image", "a", "b"))
}

func invalid(t *testing.T, store tagstore.Store) {
	k := key("ns", "repo", "uid")
	put(t, store, k, snapshot("image", "1"))
	tooFew := snapshot("image", "1", "2")
	tooFew.FirstSeen = tooFew.FirstSeen[:1]
	for reason, s := range map[string]scan.Snapshot{
		"more tags than times":   tooFew,
		"tags that descend":      snapshot("image", "2", "1"),
		"a tag that comes twice": snapshot("image", "1", "1"),
	} {
		if err := store.Put(t.Context(), k, s); !errors.Is(err, tagstore.ErrInvalid) {
			t.Errorf("Put() of %s returned error %v, want ErrInvalid", reason, err)
		}
	}
	wantHeld(t, store, k, snapshot("image", "1"))
}
