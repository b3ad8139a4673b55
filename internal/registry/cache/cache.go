// SPDX-License-Identifier: Apache-2.0

// Package cache has a cache that is bounded by its size and the idle time of its entries.
package cache

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Cache is an LRU cache whose entries also expire after an idle time. Expired entries are
// evicted when an entry is added. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	idle time.Duration
	now  func() time.Time

	mu      sync.Mutex
	entries *simplelru.LRU[K, *entry[V]]
}

type entry[V any] struct {
	value V
	used  time.Time
}

// New returns an empty cache of at most size entries, which must be positive. evicted, if
// not nil, is called with each evicted value, and must not use the cache.
func New[K comparable, V any](size int, idle time.Duration, now func() time.Time, evicted func(V)) *Cache[K, V] {
	onEvict := func(_ K, e *entry[V]) {
		if evicted != nil {
			evicted(e.value)
		}
	}
	entries, err := simplelru.NewLRU(size, onEvict)
	if err != nil {
		panic(err) // the size is a constant of the program
	}
	return &Cache[K, V]{idle: idle, now: now, entries: entries}
}

// Get returns the value of key, and creates it if there is none.
func (c *Cache[K, V]) Get(key K, create func() V) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if e, found := c.entries.Get(key); found {
		e.used = now
		return e.value
	}
	e := &entry[V]{value: create(), used: now}
	c.entries.Add(key, e)
	for {
		_, oldest, _ := c.entries.GetOldest()
		if now.Sub(oldest.used) <= c.idle {
			return e.value
		}
		c.entries.RemoveOldest()
	}
}

// Values returns all values.
func (c *Cache[K, V]) Values() []V {
	c.mu.Lock()
	defer c.mu.Unlock()
	values := make([]V, 0, c.entries.Len())
	for _, e := range c.entries.Values() {
		values = append(values, e.value)
	}
	return values
}
