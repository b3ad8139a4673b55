// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"context"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// Memory is a Store that forgets everything with the process. It is the
// reference that other stores are compared with, and serves tests.
type Memory struct {
	mu        sync.RWMutex
	closed    bool
	snapshots map[Key]scan.Snapshot
	facts     map[Key]*memoryFacts
	options   options
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store. Of the options, it needs only WithClock.
func NewMemory(opts ...Option) *Memory {
	return &Memory{snapshots: map[Key]scan.Snapshot{}, facts: map[Key]*memoryFacts{}, options: newOptions(opts)}
}

// Get implements Reader.
func (m *Memory) Get(ctx context.Context, key Key) (scan.Snapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx); err != nil {
		return scan.Snapshot{}, err
	}
	snapshot, held := m.snapshots[key]
	if !held {
		return scan.Snapshot{}, ErrNotFound
	}
	return clone(snapshot), nil
}

// Info implements Reader.
func (m *Memory) Info(ctx context.Context, key Key) (Info, error) {
	snapshot, err := m.Get(ctx, key)
	if err != nil {
		return Info{}, err
	}
	return infoOf(snapshot), nil
}

// Put implements Store.
func (m *Memory) Put(ctx context.Context, key Key, snapshot scan.Snapshot) error {
	if err := validate(snapshot); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return err
	}
	m.followFacts(key, snapshot)
	m.snapshots[key] = clone(snapshot)
	return nil
}

// Delete implements Store.
func (m *Memory) Delete(ctx context.Context, key Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return err
	}
	m.remove(key)
	return nil
}

// Forget implements Store.
func (m *Memory) Forget(ctx context.Context, name types.NamespacedName, keep types.UID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return err
	}
	for key := range m.snapshots {
		if key.NamespacedName() == name && (keep == "" || key.UID != keep) {
			m.remove(key)
		}
	}
	return nil
}

// Sweep implements Store.
func (m *Memory) Sweep(ctx context.Context, keep func(Key) bool) (int, error) {
	keys, err := m.Keys(ctx)
	if err != nil {
		return 0, err
	}
	gone := doomed(keys, keep)

	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return 0, err
	}
	before := len(m.snapshots)
	for _, key := range gone {
		m.remove(key)
	}
	return before - len(m.snapshots), nil
}

// Keys implements Store.
func (m *Memory) Keys(ctx context.Context) ([]Key, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Keys(m.snapshots), Key.Compare), nil
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.snapshots, m.facts = true, nil, nil
	return nil
}

// remove takes away what is held for a key; the caller holds the lock.
func (m *Memory) remove(key Key) {
	delete(m.snapshots, key)
	delete(m.facts, key)
}

// usable returns why the store can't be used now; the caller holds the lock.
func (m *Memory) usable(ctx context.Context) error {
	if m.closed {
		return ErrClosed
	}
	return ctx.Err()
}

// clone returns a snapshot that shares no slice with s.
func clone(s scan.Snapshot) scan.Snapshot {
	s.Tags, s.FirstSeen = slices.Clone(s.Tags), slices.Clone(s.FirstSeen)
	return s
}
