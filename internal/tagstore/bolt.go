// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	bolt "go.etcd.io/bbolt"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// Bolt is a Store in one file of a directory. A snapshot is durable once Put
// has returned. Open it with OpenBolt.
type Bolt struct {
	path    string
	options options

	mu       sync.RWMutex // held by every use of db but the committer's, and locked to replace it
	db       *bolt.DB
	file     atomic.Pointer[os.File] // what db has open
	pageSize int64

	batches   batches
	unsettled bool  // the committer's: see settle
	pause     int   // the committer's: commits before a compaction is tried again
	live      int64 // the committer's: bytes of names, records and facts
	removed   int64 // the committer's: bytes that live lost since the file was opened or compacted

	records  atomic.Int64  // how many there are
	durable  atomic.Int64  // the latest transaction that is on the disk
	damaged  atomic.Bool   // db panicked, so it is not to be used again
	broken   chan struct{} // closed when damaged is set
	facts    atomic.Int64  // how many there are
	reported sync.Map      // what was reported of which key, as values of the type reported
}

// reported is a report of damage that is not made again.
type reported struct {
	kind ReportKind
	name string // of the key
}

var _ Store = (*Bolt)(nil)

// errUnchanged ends a transaction that has nothing to write, without the cost
// of a commit.
var errUnchanged = errors.New("nothing to write")

// Get implements Reader. A record that can't be read counts as not found.
func (b *Bolt) Get(ctx context.Context, key Key) (scan.Snapshot, error) {
	return read(ctx, b, key, decodeRecord)
}

// Info implements Reader. Only the record's checksum says whether the tags can
// be read.
func (b *Bolt) Info(ctx context.Context, key Key) (Info, error) {
	return read(ctx, b, key, recordInfo)
}

func read[T any](ctx context.Context, b *Bolt, key Key, decode func(name, record []byte) (T, error)) (T, error) {
	name := key.encode()
	var none, found T
	var broken error
	err := b.view(ctx, func(records *bolt.Bucket) error {
		record := records.Get(name)
		if record == nil {
			return ErrNotFound
		}
		found, broken = decode(name, record)
		return nil
	})
	if err != nil {
		return none, err
	}
	if broken != nil {
		b.reportOnce(RecordDamaged, key, broken)
		return none, ErrNotFound
	}
	return found, nil
}

// Delete implements Store.
func (b *Bolt) Delete(ctx context.Context, key Key) error {
	name := key.encode()
	_, err := b.remove(ctx, func(records *bolt.Bucket) [][]byte {
		if records.Get(name) == nil {
			return nil
		}
		return [][]byte{name}
	})
	return err
}

// Forget implements Store.
func (b *Bolt) Forget(ctx context.Context, name types.NamespacedName, keep types.UID) error {
	prefix := appendName(nil, name)
	kept := Key{Namespace: name.Namespace, Name: name.Name, UID: keep}.encode()
	_, err := b.remove(ctx, func(records *bolt.Bucket) [][]byte {
		var gone [][]byte
		cursor := records.Cursor()
		for found, _ := cursor.Seek(prefix); bytes.HasPrefix(found, prefix); found, _ = cursor.Next() {
			if keep == "" || !bytes.Equal(found, kept) {
				gone = append(gone, found)
			}
		}
		return gone
	})
	return err
}

// Sweep implements Store. It removes records with malformed keys too, and the facts
// of records that are gone: an older program leaves them.
func (b *Bolt) Sweep(ctx context.Context, keep func(Key) bool) (int, error) {
	keys, malformed, err := b.list(ctx)
	if err != nil {
		return 0, err
	}
	gone := malformed
	for _, key := range doomed(keys, keep) {
		gone = append(gone, key.encode())
	}
	return b.remove(ctx, func(records *bolt.Bucket) [][]byte {
		var held [][]byte
		for _, name := range gone {
			if records.Get(name) != nil {
				held = append(held, name)
			}
		}
		return append(held, orphans(records)...)
	})
}

// Keys implements Store.
func (b *Bolt) Keys(ctx context.Context) ([]Key, error) {
	keys, _, err := b.list(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(keys, Key.Compare)
	return keys, nil
}

// list returns the keys of all records, and the names that are none.
func (b *Bolt) list(ctx context.Context) ([]Key, [][]byte, error) {
	var keys []Key
	var malformed [][]byte
	err := b.view(ctx, func(records *bolt.Bucket) error {
		return records.ForEach(func(name, _ []byte) error {
			key, err := parseKey(name)
			if err != nil || !bytes.Equal(key.encode(), name) {
				malformed = append(malformed, bytes.Clone(name))
			} else {
				keys = append(keys, key)
			}
			return nil
		})
	})
	return keys, malformed, err
}

// remove deletes, in one step, the records and facts of the names that choose
// returns, and returns the number of records.
func (b *Bolt) remove(ctx context.Context, choose func(*bolt.Bucket) [][]byte) (int, error) {
	var gone [][]byte
	removed := 0
	err := b.update(ctx, 0, func(records *bolt.Bucket) (growth, error) {
		gone = nil
		for _, name := range choose(records) {
			gone = append(gone, bytes.Clone(name)) // the bucket's own are not valid beyond a change
		}
		if len(gone) == 0 {
			return growth{}, errUnchanged
		}
		var grown growth
		for _, name := range gone {
			lost, err := removeOne(records, name)
			if err != nil {
				return growth{}, err
			}
			grown.add(lost)
		}
		removed = int(-grown.records)
		return grown, nil
	})
	if errors.Is(err, errUnchanged) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("removing stored tags: %w", err)
	}
	for _, name := range gone {
		b.reported.Delete(reported{RecordDamaged, string(name)})
		b.reported.Delete(reported{FactsDamaged, string(name)})
	}
	return removed, nil
}

// removeOne deletes what is held under a name.
func removeOne(records *bolt.Bucket, name []byte) (growth, error) {
	lost, err := dropFacts(records.Tx(), name)
	if err != nil {
		return growth{}, err
	}
	if record := records.Get(name); record != nil {
		lost.records--
		lost.bytes -= int64(len(name) + len(record))
	}
	return lost, records.Delete(name)
}

// Close implements Store. A store that was found damaged does not wait for
// calls in progress, since they may never end.
func (b *Bolt) Close() error {
	b.finish()
	if b.db != nil && !b.damaged.Load() {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.db.Close()
	}
	// The mapping of the file stays, and with it the lock, unless it is let go.
	file := b.file.Load()
	_ = flock(file, syscall.LOCK_UN) // fails only when the file is closed already
	return ignoreClosed(file.Close())
}

// reportOnce reports damage of a key, unless that was done already.
func (b *Bolt) reportOnce(kind ReportKind, key Key, broken error) {
	if _, before := b.reported.LoadOrStore(reported{kind, string(key.encode())}, true); !before {
		b.options.report(Report{Kind: kind, Key: key, Err: broken})
	}
}
