/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package registry

import (
	"container/list"
	"sync"
	"time"
)

// lru keeps the values that were used last: at most max of them, and none that
// nobody asked for since idle. It needs no goroutine, because what is too old is
// dropped when something else is asked for.
type lru[K comparable, V any] struct {
	max     int
	idle    time.Duration
	now     func() time.Time
	dropped func(V) // may be nil, and must not use the lru

	mu      sync.Mutex
	entries map[K]*list.Element
	order   list.List // the one that was used last comes first
}

// lruEntry is a value of an lru.
type lruEntry[K comparable, V any] struct {
	key  K
	val  V
	used time.Time
}

// newLRU returns an lru without values.
func newLRU[K comparable, V any](limit int, idle time.Duration, now func() time.Time, dropped func(V)) *lru[K, V] {
	return &lru[K, V]{max: limit, idle: idle, now: now, dropped: dropped, entries: map[K]*list.Element{}}
}

// get returns the value of a key, and makes it where there is none.
func (l *lru[K, V]) get(key K, create func() V) V {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if e, found := l.entries[key]; found {
		entry := e.Value.(*lruEntry[K, V])
		entry.used = now
		l.order.MoveToFront(e)
		return entry.val
	}
	entry := &lruEntry[K, V]{key: key, val: create(), used: now}
	l.entries[key] = l.order.PushFront(entry)
	l.trim(now)
	return entry.val
}

// trim drops what is too much or too old.
func (l *lru[K, V]) trim(now time.Time) {
	for {
		last := l.order.Back()
		entry := last.Value.(*lruEntry[K, V])
		if len(l.entries) <= l.max && now.Sub(entry.used) <= l.idle {
			return
		}
		l.order.Remove(last)
		delete(l.entries, entry.key)
		if l.dropped != nil {
			l.dropped(entry.val)
		}
	}
}

// each calls do for each value.
func (l *lru[K, V]) each(do func(V)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		do(e.Value.(*lruEntry[K, V]).val)
	}
}
