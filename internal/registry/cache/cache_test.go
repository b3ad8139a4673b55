// SPDX-License-Identifier: Apache-2.0

package cache_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/registry/cache"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

func TestCache_DropsLeastRecentlyUsedAndIdle(t *testing.T) {
	clock := registrytest.NewClock()
	var dropped []string
	l := cache.New[string](2, time.Hour, clock.Now, func(v string) { dropped = append(dropped, v) })
	get := func(key string) string { return l.Get(key, func() string { return key + clock.Now().Format("15:04") }) }
	check := func(got string, reason, want string, wantDropped ...string) {
		t.Helper()
		if got != want || !slices.Equal(dropped, wantDropped) {
			t.Errorf("%s: got %q, dropped %q, want %q, %q", reason, got, dropped, want, wantDropped)
		}
		dropped = nil
	}
	check(get("a"), "new", "a12:00")
	check(get("b"), "new", "b12:00")
	clock.Advance(time.Minute)
	check(get("a"), "cached", "a12:00")
	check(get("c"), "the least recently used entry is dropped", "c12:01", "b12:00")
	clock.Advance(2 * time.Hour)
	check(get("d"), "idle entries are dropped", "d14:01", "a12:00", "c12:01")
}
