// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"context"
	"maps"
	"slices"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// memoryFacts are the facts of one key.
type memoryFacts struct {
	facts map[string]admission.Fact
	gone  map[string]int64 // since when tags with facts are gone, in seconds since the epoch
}

// Facts implements FactReader.
func (m *Memory) Facts(ctx context.Context, key Key) (map[string]admission.Fact, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	found := map[string]admission.Fact{}
	if held := m.facts[key]; held != nil {
		for tag, fact := range held.facts {
			found[tag] = cloneFact(fact)
		}
	}
	return found, nil
}

// Fact implements FactReader.
func (m *Memory) Fact(ctx context.Context, key Key, tags ...string) (map[string]admission.Fact, error) {
	found, err := m.Facts(ctx, key)
	maps.DeleteFunc(found, func(tag string, _ admission.Fact) bool { return !slices.Contains(tags, tag) })
	return found, err
}

// PutFacts implements FactStore.
func (m *Memory) PutFacts(ctx context.Context, key Key, facts map[string]admission.Fact) error {
	if err := validateFacts(facts); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return err
	}
	if _, held := m.snapshots[key]; !held {
		return ErrNotFound
	}
	if len(facts) == 0 {
		return nil
	}
	next, err := m.facts[key].with(facts, m.options.maxFacts)
	if err == nil {
		m.facts[key] = next
	}
	return err
}

// with returns the facts with others in their place. f may be nil.
func (f *memoryFacts) with(facts map[string]admission.Fact, limit int64) (*memoryFacts, error) {
	next := &memoryFacts{facts: map[string]admission.Fact{}, gone: map[string]int64{}}
	if f != nil {
		next = &memoryFacts{facts: maps.Clone(f.facts), gone: maps.Clone(f.gone)}
	}
	if int64(len(next.facts)+len(facts)) > limit {
		for tag := range next.gone {
			next.forget(tag)
		}
	}
	for tag, fact := range facts {
		next.facts[tag] = cloneFact(fact)
	}
	if n := int64(len(next.facts)); n > limit {
		return nil, errTooManyFacts(n, limit)
	}
	return next, nil
}

func (f *memoryFacts) forget(tag string) {
	delete(f.facts, tag)
	delete(f.gone, tag)
}

// followFacts has the facts of a key follow a snapshot that is about to replace
// the one held; the caller holds the lock.
func (m *Memory) followFacts(key Key, next scan.Snapshot) {
	held, before := m.facts[key], m.snapshots[key]
	if held == nil {
		return
	}
	if before.Image != next.Image {
		delete(m.facts, key)
		return
	}
	if slices.Equal(before.Tags, next.Tags) {
		return
	}
	now := m.options.now().Unix()
	for tag := range held.facts {
		since, missed := held.gone[tag]
		switch {
		case next.Has(tag):
			delete(held.gone, tag)
		case graceOf(since, missed, now) == goneNew:
			held.gone[tag] = now
		case graceOf(since, missed, now) == goneOver:
			held.forget(tag)
		}
	}
}

// cloneFact returns a fact that shares no slice with f.
func cloneFact(f admission.Fact) admission.Fact {
	f.Platforms, f.Verdicts = slices.Clone(f.Platforms), slices.Clone(f.Verdicts)
	return f
}
