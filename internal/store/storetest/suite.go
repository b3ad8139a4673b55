// SPDX-License-Identifier: Apache-2.0

// Package storetest holds a tag store to its promises.
package storetest

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// Clock is a clock that a test sets.
type Clock struct{ seconds atomic.Int64 }

// Advance sets it forth, or back.
func (c *Clock) Advance(by time.Duration) { c.seconds.Add(int64(by / time.Second)) }

func (c *Clock) now() time.Time { return time.Unix(c.seconds.Load(), 0) }

// Run tests that the stores which open returns, each empty and its own, keep the promises
// of store.Store. The suite closes them.
func Run(t *testing.T, open func(testing.TB, store.Options) *store.Store) {
	timeless := func(test func(*testing.T, *store.Store)) func(*testing.T, *store.Store, *Clock) {
		return func(t *testing.T, tags *store.Store, _ *Clock) { test(t, tags) }
	}
	for _, promise := range []struct {
		name string
		test func(*testing.T, *store.Store, *Clock)
	}{
		{"what is put is got", timeless(roundTrip)},
		{"nothing held is not found", timeless(notFound)},
		{"the last put wins", timeless(replace)},
		{"objects do not see each other", timeless(isolation)},
		{"what is no object is refused", timeless(isOutside)},
		{"delete removes one", timeless(deleteOne)},
		{"forget removes a name", timeless(forget)},
		{"keys are ordered", timeless(keys)},
		{"a hundred thousand tags", timeless(large)},
		{"slices of the caller are its own", timeless(aliasing)},
		{"invalid snapshots are rejected", timeless(invalid)},
		{"a context that is over stops", timeless(cancelled)},
		{"closed is closed", timeless(closed)},
		{"concurrent use", timeless(concurrent)},
		{"many writers at once", timeless(manyWriters)},
		{"callers that give up", timeless(givingUp)},
		{"facts that are put are got", factsRoundTrip},
		{"facts need tags", factsNeedTags},
		{"facts of objects do not mix", factsIsolation},
		{"facts go with their tags", factsGoWithTags},
		{"facts of tags that are gone", factsOfGoneTags},
		{"invalid facts are rejected", factsInvalid},
		{"facts of the caller are its own", factsAliasing},
		{"a hundred thousand facts", manyFacts},
		{"concurrent use of facts", factsConcurrent},
	} {
		t.Run(promise.name, func(t *testing.T) {
			clock := &Clock{}
			clock.Advance(1_800_000_000 * time.Second)
			tags := open(t, store.Options{Now: clock.now})
			promise.test(t, tags, clock)
			if err := tags.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
}

// snapshot returns a snapshot of image with tags, first seen one after another.
func snapshot(image string, tags ...string) scan.Snapshot {
	s := scan.Snapshot{Image: image, Tags: tags, Since: 1_700_000_000}
	for i := range tags {
		s.FirstSeen = append(s.FirstSeen, s.Since+int64(i))
	}
	return s
}

func key(namespace, name, uid string) store.Key {
	return store.Key{Namespace: namespace, Name: name, UID: types.UID(uid)}
}

func put(t *testing.T, tags *store.Store, k store.Key, s scan.Snapshot) {
	t.Helper()
	if err := tags.Put(t.Context(), k, s); err != nil {
		t.Fatalf("Put(%s) = %v", k, err)
	}
}

func wantHeld(t *testing.T, tags *store.Store, k store.Key, want scan.Snapshot) {
	t.Helper()
	got, err := tags.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("Get(%s) = %v", k, err)
	}
	if !got.Equal(want) {
		t.Fatalf("Get(%s) returned %d tags of %q since %d, want %d of %q since %d, or other tags or times",
			k, len(got.Tags), got.Image, got.Since, len(want.Tags), want.Image, want.Since)
	}
	wantInfo := store.Info{Image: want.Image, Revision: want.Revision(), Tags: len(want.Tags)}
	if info, err := tags.Info(t.Context(), k); err != nil || info != wantInfo {
		t.Fatalf("Info(%s) = %v, %v, want %v", k, info, err, wantInfo)
	}
}

func wantNotFound(t *testing.T, tags *store.Store, k store.Key) {
	t.Helper()
	if _, err := tags.Get(t.Context(), k); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get(%s) returned error %v, want ErrNotFound", k, err)
	}
	if _, err := tags.Info(t.Context(), k); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Info(%s) returned error %v, want ErrNotFound", k, err)
	}
}

func wantKeys(t *testing.T, tags *store.Store, want ...store.Key) {
	t.Helper()
	got, err := tags.Keys(t.Context())
	if err != nil {
		t.Fatalf("Keys() = %v", err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("Keys() = %v, want %v", got, want)
	}
}
