// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"context"
	"errors"
	"slices"
	"sync"

	bolt "go.etcd.io/bbolt"
)

// maxBatchBytes is how many bytes of records one transaction takes, if it has
// more than one change. It bounds the memory of a commit.
const maxBatchBytes = 4 << 20

// A change is what one caller wants to have written. Its fields are the
// committer's until done is closed, and the caller's from then on.
type change struct {
	ctx  context.Context
	size int // about how many bytes it writes

	// apply makes the change, and returns by how much the records grow; the error is errUnchanged when there was nothing to write. It is
	// called once more where the transaction was rolled back for the sake of
	// another change.
	apply func(*bolt.Bucket) (growth, error)

	err  error
	done chan struct{}
}

// batches are the changes of concurrent callers on their way into shared
// transactions: while one commit is in flight, what arrives waits, and the next
// commit takes it all. The cost of a commit is that of waiting for the disk, so
// many changes take about as long as one. A change that comes alone waits for
// nobody.
type batches struct {
	mu      sync.Mutex
	waiting []*change
	idle    chan struct{} // closed when the committer ends; nil while there is none
	closed  bool
}

// update has apply called on the records, and returns when what it changed is
// durable. All writes go through here. When ctx ends before apply was called,
// nothing is changed, and the error is that of ctx.
func (b *Bolt) update(ctx context.Context, size int, apply func(*bolt.Bucket) (growth, error)) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	c := &change{ctx: ctx, size: size, apply: apply, done: make(chan struct{})}
	if !b.enqueue(c) {
		return ErrClosed
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		if b.batches.withdraw(c) {
			return ctx.Err()
		}
	case <-b.broken:
	}
	// It is under way, and only its end tells whether it was written.
	select {
	case <-c.done:
		return c.err
	case <-b.broken: // the commit may never end
		return b.intact()
	}
}

// enqueue hands a change to the committer, and starts one if there is none. It
// returns false when the store is closed.
func (b *Bolt) enqueue(c *change) bool {
	q := &b.batches
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.waiting = append(q.waiting, c)
	if q.idle == nil {
		q.idle = make(chan struct{})
		go b.commitAll()
	}
	return true
}

// withdraw takes a change back, and returns false when it is too late for that.
func (q *batches) withdraw(c *change) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, c)
	if i < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// next returns the changes for one transaction. When there are none, the
// committer has ended.
func (q *batches) next() []*change {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		close(q.idle)
		q.idle = nil
		return nil
	}
	n, size := 0, 0
	for ; n < len(q.waiting); n++ {
		if size += q.waiting[n].size; size > maxBatchBytes && n > 0 {
			break
		}
	}
	batch := q.waiting[:n:n]
	q.waiting = slices.Clone(q.waiting[n:])
	return batch
}

// finish has all later changes refused, and waits for those before, unless the
// store is damaged.
func (b *Bolt) finish() {
	q := &b.batches
	q.mu.Lock()
	q.closed = true
	idle := q.idle
	q.mu.Unlock()
	if idle != nil {
		select {
		case <-idle:
		case <-b.broken:
		}
	}
}

// commitAll is the committer: it ends when nothing waits.
func (b *Bolt) commitAll() {
	for batch := b.batches.next(); batch != nil; batch = b.batches.next() {
		b.commit(batch)
		// Their callers are answered: this is on the time of those who come next.
		if b.intact() == nil && b.settle() == nil { // or it is tried again before anything is written
			b.compactIfWorth()
		}
	}
}

// commit makes changes in one transaction, and tells every caller of its own.
// One that fails does so alone.
func (b *Bolt) commit(batch []*change) {
	for _, c := range batch {
		if c.err = c.ctx.Err(); c.err != nil {
			close(c.done)
		}
	}
	batch = slices.DeleteFunc(batch, func(c *change) bool { return c.err != nil })
	for len(batch) > 0 {
		failed, err := b.transact(batch)
		if failed < 0 {
			for _, c := range batch {
				if err != nil {
					c.err = err
				}
				close(c.done)
			}
			return
		}
		close(batch[failed].done)
		batch = slices.Delete(batch, failed, failed+1)
	}
}

// transact makes changes in one transaction. If one of them failed, it returns
// its index, and nothing was changed. Otherwise the index is negative, and the
// error that of all.
func (b *Bolt) transact(batch []*change) (int, error) {
	if err := b.intact(); err != nil {
		return -1, err
	}
	if err := b.settle(); err != nil {
		return -1, err
	}
	failed, txid, grown := -1, 0, growth{}
	err := b.guarded(func() error {
		return b.db.Update(func(tx *bolt.Tx) error {
			var err error
			txid = tx.ID()
			failed, grown, err = applyAll(batch, tx.Bucket(recordsBucket))
			return err
		})
	})
	if failed >= 0 || errors.Is(err, errUnchanged) {
		return failed, nil
	}
	if err != nil {
		b.unsettle()
		return -1, translate(err)
	}
	b.durable.Store(int64(txid))
	b.grow(grown)
	return -1, nil
}

// growth is by how much records and facts become more.
type growth struct {
	records int64
	facts   int64
	bytes   int64 // of names, records and facts
}

func (g *growth) add(o growth) {
	g.records += o.records
	g.facts += o.facts
	g.bytes += o.bytes
}

// applyAll makes changes, and returns by how much the records grow. The error
// is errUnchanged when there was nothing to write, and else that of the change
// whose index is returned; without such a change it is negative.
func applyAll(batch []*change, records *bolt.Bucket) (int, growth, error) {
	var all growth
	written := false
	for i, c := range batch {
		grown, err := c.apply(records)
		c.err = err
		if errors.Is(err, errUnchanged) {
			continue
		}
		if err != nil {
			return i, growth{}, err
		}
		written = true
		all.add(grown)
	}
	if !written {
		return -1, growth{}, errUnchanged
	}
	return -1, all, nil
}
