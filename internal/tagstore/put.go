// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// Put implements Store.
func (b *Bolt) Put(ctx context.Context, key Key, snapshot scan.Snapshot) error {
	if err := validate(snapshot); err != nil {
		return err
	}
	p := &put{name: key.encode(), snapshot: snapshot, payload: encodePayload(snapshot)}
	p.now = b.options.now().Unix()
	done, err := p.done(ctx, b)
	if err != nil || done {
		return err
	}
	if err := b.update(ctx, len(p.record), p.apply); err != nil && !errors.Is(err, errUnchanged) {
		return fmt.Errorf("storing the tags of %s: %w", key, err)
	}
	b.reported.Delete(reported{RecordDamaged, string(p.name)})
	return nil
}

// put is one snapshot on its way into the store.
type put struct {
	name, payload []byte
	snapshot      scan.Snapshot
	now           int64  // in seconds since the epoch
	record        []byte // nil while there seems to be no need for it
}

// done reports whether the store holds the snapshot durably. Where it does not
// hold it, it makes the record: there is no need for a transaction to wait for
// that.
func (p *put) done(ctx context.Context, b *Bolt) (bool, error) {
	var held, durable bool
	err := b.view(ctx, func(records *bolt.Bucket) error {
		held = p.held(records)
		durable = int64(records.Tx().ID()) <= b.durable.Load()
		return nil
	})
	if err != nil || held {
		return held && durable, err
	}
	p.record, err = encodeRecord(p.name, p.snapshot, p.payload)
	return false, err
}

// held reports whether the records hold the snapshot. Payloads are compared, and
// not records, because unpacking costs a tenth of packing.
func (p *put) held(records *bolt.Bucket) bool {
	record := records.Get(p.name)
	if record == nil {
		return false
	}
	stored, err := recordPayload(p.name, record)
	return err == nil && bytes.Equal(stored, p.payload)
}

// apply puts the record. Without one, the snapshot was held already, by a
// transaction that was not durable yet, and may have failed since.
func (p *put) apply(records *bolt.Bucket) (growth, error) {
	if p.record == nil {
		if p.held(records) {
			return growth{}, errUnchanged
		}
		var err error
		if p.record, err = encodeRecord(p.name, p.snapshot, p.payload); err != nil {
			return growth{}, err
		}
	}
	before := records.Get(p.name)
	grown, err := p.followFacts(records.Tx(), before)
	if err != nil {
		return growth{}, err
	}
	grown.bytes += int64(len(p.record))
	if before != nil {
		grown.bytes -= int64(len(before))
	} else {
		grown.bytes += int64(len(p.name))
		grown.records = 1
	}
	return grown, records.Put(p.name, p.record)
}
