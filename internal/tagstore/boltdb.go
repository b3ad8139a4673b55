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

package tagstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// A file has two buckets: records, by key, and meta with the format, which says
// that the file is a tag store and of which version. The version is raised when
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
func openLockedFile(file *os.File, report func(Report)) (*Bolt, error) {
	b := &Bolt{file: file, report: report}
	info, err := file.Stat()
	if err != nil {
		return b, err
	}
	if info.Size() > 0 { // else it is new
		if err := checkPages(file, info.Size()); err != nil {
			return b, err
		}
	}
	err = b.guarded(func() error {
		b.db, err = bolt.Open(file.Name(), 0o600, &bolt.Options{
			OpenFile: func(string, int, os.FileMode) (*os.File, error) { return file, nil },
			Timeout:  time.Second, // does not matter: file has the lock
		})
		if err != nil {
			return err
		}
		b.db.AllocSize = allocSize
		return b.db.Update(ensureFormat)
	})
	if errors.Is(err, errUnchanged) {
		err = nil
	}
	return b, err
}

// ensureFormat makes the buckets of a new file. The error wraps ErrDamaged when
// the file is not ours or of an unknown version, and is errUnchanged when it is
// good as it is.
func ensureFormat(tx *bolt.Tx) error {
	if first, _ := tx.Cursor().First(); first == nil {
		return initFormat(tx)
	}
	meta := tx.Bucket(metaBucket)
	if meta == nil || tx.Bucket(recordsBucket) == nil {
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

// view runs fn on the records as they are now.
func (b *Bolt) view(ctx context.Context, fn func(*bolt.Bucket) error) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	return translate(b.guarded(func() error {
		return b.db.View(func(tx *bolt.Tx) error { return fn(tx.Bucket(recordsBucket)) })
	}))
}

// update runs fn on the records, and commits what it changed if it returns no
// error. All writes go through here.
func (b *Bolt) update(ctx context.Context, fn func(*bolt.Bucket) error) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	err := b.guarded(func() error {
		return b.db.Update(func(tx *bolt.Tx) error { return fn(tx.Bucket(recordsBucket)) })
	})
	return translate(err)
}

func (b *Bolt) usable(ctx context.Context) error {
	if b.damaged.Load() {
		return fmt.Errorf("%w: %s was found damaged before", ErrDamaged, b.file.Name())
	}
	return ctx.Err()
}

// translate turns the one error of bbolt that has a name here into it.
func translate(err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
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
		if b.damaged.CompareAndSwap(false, true) {
			b.report(Report{Kind: FileDamaged, Paths: []string{b.file.Name()}, Err: err})
		}
	}()
	return fn()
}
