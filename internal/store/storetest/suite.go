// SPDX-License-Identifier: Apache-2.0

// Package storetest contains the conformance tests of the tag store.
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

// Clock is a clock for tests. It advances only by calls of Advance.
type Clock struct{ seconds atomic.Int64 }

// Advance moves the clock, backward if by is negative.
func (c *Clock) Advance(by time.Duration) { c.seconds.Add(int64(by / time.Second)) }

func (c *Clock) now() time.Time { return time.Unix(c.seconds.Load(), 0) }

// Run tests the stores that open returns. Each must be new and empty. Run closes them.
func Run(t *testing.T, open func(testing.TB, store.Options) *store.Store) {
	withoutClock := func(test func(*testing.T, *store.Store)) func(*testing.T, *store.Store, *Clock) {
		return func(t *testing.T, tags *store.Store, _ *Clock) { test(t, tags) }
	}
	for _, tt := range []struct {
		name string
		test func(*testing.T, *store.Store, *Clock)
	}{
		{"put and get", withoutClock(roundTrip)},
		{"not found", withoutClock(notFound)},
		{"put replaces", withoutClock(replace)},
		{"objects are isolated", withoutClock(isolation)},
		{"invalid keys are rejected", withoutClock(rejectInvalidKeys)},
		{"delete removes one object", withoutClock(deleteOne)},
		{"forget removes all objects of a name", withoutClock(forget)},
		{"keys are sorted", withoutClock(keys)},
		{"100,000 tags", withoutClock(large)},
		{"slices are not shared", withoutClock(aliasing)},
		{"invalid snapshots are rejected", withoutClock(invalid)},
		{"context is cancelled", withoutClock(cancelled)},
		{"closed store", withoutClock(closed)},
		{"concurrent use", withoutClock(concurrent)},
		{"many writers at once", withoutClock(manyWriters)},
		{"callers cancel", withoutClock(cancelledCallers)},
		{"put and get facts", factsRoundTrip},
		{"facts require a snapshot", factsNeedTags},
		{"facts of objects are isolated", factsIsolation},
		{"facts are removed with their tags", factsRemovedWithTags},
		{"facts of missing tags", factsOfMissingTags},
		{"invalid facts are rejected", factsInvalid},
		{"facts are not shared", factsAliasing},
		{"100,000 facts", manyFacts},
		{"concurrent use of facts", factsConcurrent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clock := &Clock{}
			clock.Advance(1_800_000_000 * time.Second)
			tags := open(t, store.Options{Now: clock.now})
			tt.test(t, tags, clock)
			if err := tags.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
		})
	}
}

// snapshot returns a snapshot of image. Its tags were first seen one second after another.
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

func wantStored(t *testing.T, tags *store.Store, k store.Key, want scan.Snapshot) {
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
