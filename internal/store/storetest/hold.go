// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

func roundTrip(t *testing.T, tags *store.Store) {
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
		put(t, tags, k, s)
		wantStored(t, tags, k, s)
		put(t, tags, k, s)
		wantStored(t, tags, k, s)
	}
}

func notFound(t *testing.T, tags *store.Store) {
	wantNotFound(t, tags, key("ns", "repo", "uid"))
	wantKeys(t, tags)
	if err := tags.Delete(t.Context(), key("ns", "repo", "uid")); err != nil {
		t.Errorf("Delete() of nothing = %v", err)
	}
	if err := tags.Forget(t.Context(), types.NamespacedName{Namespace: "ns", Name: "repo"}, ""); err != nil {
		t.Errorf("Forget() of nothing = %v", err)
	}
}

func replace(t *testing.T, tags *store.Store) {
	k := key("ns", "repo", "uid")
	put(t, tags, k, snapshot("image", "1", "2", "3"))
	put(t, tags, k, snapshot("image", "2"))
	wantStored(t, tags, k, snapshot("image", "2"))
	later := snapshot("image", "2")
	later.FirstSeen[0]++
	put(t, tags, k, later)
	wantStored(t, tags, k, later)
	put(t, tags, k, snapshot("other", "2"))
	wantStored(t, tags, k, snapshot("other", "2"))
	wantKeys(t, tags, k)
}

// similarKeys are keys with similar names, which must not be confused.
var similarKeys = []store.Key{
	key("a", "b", "1"),
	key("a", "b", "12"),
	key("a", "b", "facts"),
	key("a", "b.1", "2"),
	key("a", "b.facts", "2"),
	key("a", "b1", "2"),
	key("a", "bc", "1"),
	key("ab", "1", "2"),
	key("b", "a", "1"),
	key("b", "b", "1"),
}

// invalidKeys are invalid keys. Most would refer to files outside the folder.
var invalidKeys = []store.Key{
	{}, key("", "b", "1"), key("a", "", "1"), key("a", "b", ""),
	key("..", "b", "1"), key("a", "..", "1"), key("a", "b", ".."), key(".", "b", "1"), key("a", "b", "."),
	key("a/b", "b", "1"), key("a", "../b", "1"), key("a", "b", "../../1"), key("a", "b", "c/d"), key("/a", "b", "1"),
	key("a\x00", "b", "1"), key("a", "b", "1\x00"), key("a", "b", "1.facts"), key("a", "b", "1.corrupt"), key("tags.lock", "b", "1"),
	key("A", "b", "1"), key("a", "b", strings.Repeat("a", 64)), key("a", strings.Repeat("a", 254), "1"),
}

func rejectInvalidKeys(t *testing.T, tags *store.Store) {
	for _, k := range invalidKeys {
		if err := tags.Put(t.Context(), k, snapshot("image", "1")); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Put(%q) = %v, want ErrInvalid", k, err)
		}
		if err := tags.PutFacts(t.Context(), k, facts{"1": fact(1)}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("PutFacts(%q) = %v, want ErrNotFound", k, err)
		}
		wantNotFound(t, tags, k)
		if err := errors.Join(tags.Delete(t.Context(), k), tags.Forget(t.Context(), k.NamespacedName(), "")); err != nil {
			t.Errorf("removing %q = %v", k, err)
		}
	}
	wantKeys(t, tags)
}

func isolation(t *testing.T, tags *store.Store) {
	for i, k := range similarKeys {
		put(t, tags, k, snapshot("image", fmt.Sprint(i)))
	}
	for i, k := range similarKeys {
		wantStored(t, tags, k, snapshot("image", fmt.Sprint(i)))
	}
	wantNotFound(t, tags, key("a", "b", "123"))
	wantKeys(t, tags, similarKeys...)
}

func keys(t *testing.T, tags *store.Store) {
	want := []store.Key{
		key("a", "long-name", "1"), key("a", "z", "1"), key("a", "z", "2"), key("b", "a", "1"), key("longer", "a", "1"),
	}
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(len(want)) {
		put(t, tags, want[i], snapshot("image"))
	}
	wantKeys(t, tags, want...)
}

func large(t *testing.T, tags *store.Store) {
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("v1.%d.%d-build.%d", i/1000, i%1000, i*7919)
	}
	slices.Sort(names)
	k, s := key("ns", "large", "uid"), snapshot("image", names...)
	put(t, tags, k, s)
	wantStored(t, tags, k, s)
	put(t, tags, k, snapshot("image", "1"))
	wantStored(t, tags, k, snapshot("image", "1"))
}

func aliasing(t *testing.T, tags *store.Store) {
	k := key("ns", "repo", "uid")
	s := snapshot("image", "a", "b")
	put(t, tags, k, s)
	s.Tags[0], s.FirstSeen[0] = "changed", 0
	got, err := tags.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("Get() = %v", err)
	}
	got.Tags[1], got.FirstSeen[1] = "changed", 0
	wantStored(t, tags, k, snapshot("image", "a", "b"))
}

func invalid(t *testing.T, tags *store.Store) {
	k := key("ns", "repo", "uid")
	put(t, tags, k, snapshot("image", "1"))
	tooFew := snapshot("image", "1", "2")
	tooFew.FirstSeen = tooFew.FirstSeen[:1]
	for reason, s := range map[string]scan.Snapshot{
		"more tags than times":     tooFew,
		"tags in descending order": snapshot("image", "2", "1"),
		"a duplicate tag":          snapshot("image", "1", "1"),
	} {
		if err := tags.Put(t.Context(), k, s); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("Put() of %s returned error %v, want ErrInvalid", reason, err)
		}
	}
	wantStored(t, tags, k, snapshot("image", "1"))
}
