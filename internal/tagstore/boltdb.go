// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// A file has two buckets: records, by key, and meta with the format, which says
// that the file is a tag store and of which version. With the first fact it gets a
// third one, facts (see factbucket.go). The version is raised when
// a program of the version before could not read the file or would spoil it; a
// file of an older one is brought up when it is opened.
var (
	recordsBucket = []byte("records")
	metaBucket    = []byte("meta")
	formatKey     = []byte("format")
	formatMagic   = []byte("image-reflector tags\n")
)

const (
	formatVersion = 2
	// oldFormatVersion is that of files whose records are all of version 1. This
	// program reads them, but not the other way round.
	oldFormatVersion = 1
)

// allocSize is by how many bytes a file grows that is larger than this.
const allocSize = 1 << 20

// openLockedFile checks a file and opens the store in it. The store that it
// returns with an error is only good for Close.
func openLockedFile(file *os.File, o options) (*Bolt, error) {
	b := &Bolt{path: file.Name(), options: o, broken: make(chan struct{})}
	b.file.Store(file)
	// What was not finished before. If it can't be removed, the next one will say so.
	_ = os.Remove(filepath.Join(filepath.Dir(b.path), unfinishedName))
	info, err := file.Stat()
	if err != nil {
		return b, err
	}
	if info.Size() == 0 {
		return b, b.replace(func(db *bolt.DB) error { return db.Update(initFormat) })
	}
	if err := checkPages(file, info.Size()); err != nil {
		return b, err
	}
	// A process that was killed may have left what no disk has yet.
	if err := file.Sync(); err != nil {
		return b, err
	}
	err = b.guarded(func() error {
		if b.db, err = mapFile(file, false); err != nil {
			return err
		}
		if err := b.db.Update(ensureFormat); err != nil && !errors.Is(err, errUnchanged) {
			return err
		}
		return b.db.View(b.takeStock)
	})
	if err != nil {
		return b, err
	}
	b.compactIfWorth()
	return b, b.intact()
}

// takeStock sets what the store knows of its file: all that can be seen in it
// is durable.
func (b *Bolt) takeStock(tx *bolt.Tx) error {
	var all growth
	cursor := tx.Bucket(recordsBucket).Cursor()
	for name, record := cursor.First(); name != nil; name, record = cursor.Next() {
		all.records++
		all.bytes += int64(len(name) + len(record))
	}
	all.add(allFacts(tx))
	b.records.Store(all.records)
	b.facts.Store(all.facts)
	b.live, b.removed = all.bytes, 0
	b.pageSize = int64(tx.DB().Info().PageSize)
	b.durable.Store(int64(tx.ID()))
	return nil
}

// ensureFormat makes the buckets of a new file. The error wraps ErrDamaged when
// the file is not ours or of an unknown version, and is errUnchanged when it is
// good as it is.
func ensureFormat(tx *bolt.Tx) error {
	if first, _ := tx.Cursor().First(); first == nil {
		return initFormat(tx)
	}
	meta := tx.Bucket(metaBucket)
	if meta == nil || tx.Bucket(recordsBucket) == nil || !onlyBuckets(tx) {
		return damaged("it is a database of another program")
	}
	format := meta.Get(formatKey)
	version, ok := bytes.CutPrefix(format, formatMagic)
	if !ok || len(version) != 8 {
		return damaged("it does not say that it is a tag store")
	}
	if binary.BigEndian.Uint32(version[4:]) != crc32.Checksum(format[:len(format)-4], castagnoli) {
		return damaged("its format does not match its checksum")
	}
	switch v := binary.BigEndian.Uint32(version); v {
	case formatVersion:
		return errUnchanged
	case oldFormatVersion:
		return meta.Put(formatKey, encodeFormat(formatVersion))
	default:
		return damaged("it has format version %d, and only versions up to %d are known", v, formatVersion)
	}
}

// onlyBuckets reports whether a file has nothing beside its buckets.
func onlyBuckets(tx *bolt.Tx) bool {
	cursor := tx.Cursor()
	for name, value := cursor.First(); name != nil; name, value = cursor.Next() {
		if value != nil {
			return false
		}
	}
	return true
}

func initFormat(tx *bolt.Tx) error {
	if _, err := tx.CreateBucket(recordsBucket); err != nil {
		return err
	}
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	return meta.Put(formatKey, encodeFormat(formatVersion))
}

// encodeFormat returns what is held under formatKey: the magic bytes, the
// version, and the checksum of both, each as four bytes, big endian.
func encodeFormat(version uint32) []byte {
	format := binary.BigEndian.AppendUint32(bytes.Clone(formatMagic), version)
	return binary.BigEndian.AppendUint32(format, crc32.Checksum(format, castagnoli))
}

// grow notes by how much records and facts grew in a commit.
func (b *Bolt) grow(by growth) {
	b.records.Add(by.records)
	b.facts.Add(by.facts)
	b.live += by.bytes
	b.removed = max(0, b.removed-by.bytes)
}

// view runs fn on the records as they are now. Where nothing can be seen of them
// since memory could not be mapped, it has the committer try that again.
func (b *Bolt) view(ctx context.Context, fn func(*bolt.Bucket) error) error {
	err := b.tryView(ctx, fn)
	if !errors.Is(err, bolterrors.ErrInvalidMapping) {
		return err
	}
	nothing := func(*bolt.Bucket) (growth, error) { return growth{}, errUnchanged }
	if err := b.update(ctx, 0, nothing); !errors.Is(err, errUnchanged) {
		return err
	}
	return b.tryView(ctx, fn)
}

func (b *Bolt) tryView(ctx context.Context, fn func(*bolt.Bucket) error) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return translate(b.guarded(func() error {
		return b.db.View(func(tx *bolt.Tx) error { return fn(tx.Bucket(recordsBucket)) })
	}))
}

func (b *Bolt) usable(ctx context.Context) error {
	if err := b.intact(); err != nil {
		return err
	}
	return ctx.Err()
}

func (b *Bolt) intact() error {
	if b.damaged.Load() {
		return fmt.Errorf("%w: %s was found damaged before", ErrDamaged, b.path)
	}
	return nil
}

// guarded runs fn and returns its error. Should fn panic, or touch memory that
// stands for a part of the file which can't be read, the error wraps
// ErrDamaged: bbolt does both on a file that was damaged after it was checked.
// It may then hold its locks for ever, so the store is not used any more.
func (b *Bolt) guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		err = damaged("%v", cause)
		b.breakDown(err)
	}()
	return fn()
}

// breakDown ends the use of the store.
func (b *Bolt) breakDown(err error) {
	if b.damaged.CompareAndSwap(false, true) {
		close(b.broken)
		b.options.report(Report{Kind: FileDamaged, Paths: []string{b.path}, Err: err})
	}
}
