// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

var _ FactStore = (*Bolt)(nil)

// Facts implements FactReader. A fact that can't be read counts as not held.
func (b *Bolt) Facts(ctx context.Context, key Key) (map[string]admission.Fact, error) {
	return b.readFacts(ctx, key, func(h *heldFacts) (int, iter.Seq2[[]byte, []byte]) {
		return int(min(h.facts, MaxTags)), h.entries(factEntry)
	})
}

// Fact implements FactReader.
func (b *Bolt) Fact(ctx context.Context, key Key, tags ...string) (map[string]admission.Fact, error) {
	return b.readFacts(ctx, key, func(h *heldFacts) (int, iter.Seq2[[]byte, []byte]) {
		return len(tags), func(yield func(key, entry []byte) bool) {
			for _, tag := range tags {
				key := entryKey(factEntry, tag)
				if entry := h.bucket.Get(key); entry != nil && !yield(key, entry) {
					return
				}
			}
		}
	})
}

// readFacts returns the facts of the entries that choose returns, beside about how
// many these are.
func (b *Bolt) readFacts(
	ctx context.Context, key Key, choose func(*heldFacts) (int, iter.Seq2[[]byte, []byte]),
) (map[string]admission.Fact, error) {
	name := key.encode()
	found := map[string]admission.Fact{}
	var broken error
	err := b.view(ctx, func(records *bolt.Bucket) error {
		held := factsOf(records.Tx(), name)
		broken = held.broken
		if !held.about(name, records.Get(name)) {
			return nil
		}
		n, entries := choose(held)
		found = make(map[string]admission.Fact, n)
		for key, entry := range entries {
			fact, err := held.decodeFact(key, entry)
			if err != nil {
				broken = fmt.Errorf("tag %q: %w", key[1:], err)
				continue
			}
			found[string(key[1:])] = fact
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if broken != nil {
		b.reportOnce(FactsDamaged, key, broken)
	}
	return found, nil
}

// PutFacts implements FactStore.
func (b *Bolt) PutFacts(ctx context.Context, key Key, facts map[string]admission.Fact) error {
	if err := validateFacts(facts); err != nil {
		return err
	}
	p := newPutFacts(key.encode(), facts, b.options.maxFacts)
	done, err := p.done(ctx, b)
	if err != nil || done {
		return err
	}
	if err := b.update(ctx, p.size, p.apply); err != nil && !errors.Is(err, errUnchanged) {
		return fmt.Errorf("storing facts of the images of %s: %w", key, err)
	}
	if p.mended {
		b.reported.Delete(reported{FactsDamaged, string(p.name)})
	}
	return nil
}

// putFacts are facts on their way into the store.
type putFacts struct {
	name    []byte
	entries []struct{ key, entry []byte } // in the order of keys, so that pages are met once
	size    int
	limit   int64
	mended  bool // something damaged was replaced
}

func newPutFacts(name []byte, facts map[string]admission.Fact, limit int64) *putFacts {
	p := &putFacts{name: name, limit: limit}
	seal := sealerOf(name)
	for _, tag := range slices.Sorted(maps.Keys(facts)) {
		key := entryKey(factEntry, tag)
		entry := seal.encodeFact(key, facts[tag])
		p.entries = append(p.entries, struct{ key, entry []byte }{key, entry})
		p.size += len(key) + len(entry)
	}
	return p
}

// done reports whether the store holds the facts durably.
func (p *putFacts) done(ctx context.Context, b *Bolt) (bool, error) {
	var held, durable bool
	err := b.view(ctx, func(records *bolt.Bucket) error {
		record := records.Get(p.name)
		if _, ok := recordImage(p.name, record); !ok {
			return ErrNotFound
		}
		held = len(p.entries) == 0 || p.held(factsOf(records.Tx(), p.name), record)
		durable = int64(records.Tx().ID()) <= b.durable.Load()
		return nil
	})
	return held && durable, err
}

func (p *putFacts) held(held *heldFacts, record []byte) bool {
	if !held.about(p.name, record) {
		return false
	}
	for _, e := range p.entries {
		if !bytes.Equal(held.bucket.Get(e.key), e.entry) {
			return false
		}
	}
	return true
}

// apply puts those facts that are not held.
func (p *putFacts) apply(records *bolt.Bucket) (growth, error) {
	record := records.Get(p.name)
	image, ok := recordImage(p.name, record)
	if !ok {
		return growth{}, ErrNotFound
	}
	held := factsOf(records.Tx(), p.name)
	if len(p.entries) == 0 || p.held(held, record) {
		return growth{}, errUnchanged
	}
	p.mended = held.broken != nil
	var dropped growth
	if !held.about(p.name, record) {
		var err error
		if dropped, err = dropFacts(records.Tx(), p.name); err != nil {
			return growth{}, err
		}
		if held, err = makeFacts(records.Tx(), p.name, image); err != nil {
			return growth{}, err
		}
	}
	if err := p.putAll(held); err != nil {
		return growth{}, err
	}
	grown, err := held.finish()
	grown.add(dropped)
	return grown, err
}

// makeFacts makes the bucket for the facts of an image under a name that has none.
func makeFacts(tx *bolt.Tx, name []byte, image string) (*heldFacts, error) {
	all, err := tx.CreateBucketIfNotExists(factsBucket)
	if err != nil {
		return nil, err
	}
	bucket, err := all.CreateBucket(name)
	return &heldFacts{sealer: sealerOf(name), bucket: bucket, image: image}, err
}

func (p *putFacts) putAll(held *heldFacts) error {
	if held.facts+int64(len(p.entries)) > p.limit {
		if err := held.forgetGone(); err != nil {
			return err
		}
	}
	for _, e := range p.entries {
		before := held.bucket.Get(e.key)
		if before != nil {
			_, err := held.decodeFact(e.key, before)
			p.mended = p.mended || err != nil
		}
		if err := held.put(e.key, e.entry); err != nil {
			return err
		}
	}
	if held.facts > p.limit {
		return errTooManyFacts(held.facts, p.limit)
	}
	return nil
}

// followFacts has the facts beside a record follow a snapshot that is about to
// replace it. Where nothing is held of facts, nothing is done.
func (p *put) followFacts(tx *bolt.Tx, before []byte) (growth, error) {
	held := factsOf(tx, p.name)
	if held.bucket == nil {
		return growth{}, nil
	}
	if before == nil || held.broken != nil || held.image != p.snapshot.Image {
		return dropFacts(tx, p.name)
	}
	if sameTags(before, p.record) {
		return growth{}, nil
	}
	return held.follow(p.snapshot.Tags, p.now)
}
