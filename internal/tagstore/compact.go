// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

const (
	// compactAbove is how many bytes a file must have before it is compacted:
	// below, there is little to give back.
	compactAbove = 8 << 20

	// compactPause is how many commits are let pass after a compaction failed.
	compactPause = 100

	// unfinishedName is what a new file is called until it takes its place.
	// Only who has the lock of the store's file touches it.
	unfinishedName = fileName + ".unfinished"
)

// Usage is what a store takes on its volume.
type Usage struct {
	Records int64 // how many snapshots it holds
	Facts   int64 // how many facts it holds
	Size    int64 // of its file, in bytes
	Free    int64 // how many bytes of these wait to be used again
}

// Usage returns what the store takes on its volume, or ErrClosed.
func (b *Bolt) Usage() (Usage, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	info, err := b.file.Load().Stat()
	if errors.Is(err, fs.ErrClosed) {
		err = ErrClosed
	}
	if err != nil {
		return Usage{}, err
	}
	stats := b.db.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * b.pageSize
	return Usage{Records: b.records.Load(), Facts: b.facts.Load(), Size: info.Size(), Free: free}, nil
}

// compactIfWorth compacts the file, since bbolt never makes a file smaller, if
// more than half of it is free, or if a third of what it held was removed: that
// may leave holes in many pages rather than free pages. Only the committer calls
// it, so nothing is written meanwhile; readers go on. A failure is reported and
// changes nothing.
func (b *Bolt) compactIfWorth() {
	if b.pause > 0 {
		b.pause--
		return
	}
	before, err := b.Usage()
	if err != nil || before.Size <= b.options.compactAbove || before.Free <= before.Size/2 && b.removed < max(1, b.live/2) {
		return
	}
	if err := b.compact(); err != nil {
		b.pause = compactPause
		b.options.report(Report{Kind: CompactionFailed, Paths: []string{b.path}, Err: translate(err)})
		return
	}
	if after, err := b.Usage(); err == nil {
		b.options.report(Report{Kind: Compacted, Paths: []string{b.path}, Freed: before.Size - after.Size})
	}
}

// compact copies what is live to a new file, as densely as bbolt can.
func (b *Bolt) compact() error {
	err := b.replace(func(db *bolt.DB) error { return bolt.Compact(db, b.db, maxBatchBytes) })
	if err != nil {
		return fmt.Errorf("compacting the tag store: %w", err)
	}
	return nil
}

// replace has fill write a new file, which takes the place of the store's when
// it is on the disk. At every moment one of both is complete, and whoever finds
// it at the path finds it locked.
func (b *Bolt) replace(fill func(*bolt.DB) error) error {
	dir := filepath.Dir(b.path)
	path := filepath.Join(dir, unfinishedName)
	file, err := createNamed(path, b.path)
	if err != nil {
		return err
	}
	var db *bolt.DB
	err = b.guarded(func() error {
		if db, err = mapFile(file, true); err != nil {
			return err
		}
		if err := fill(db); err != nil {
			return err
		}
		if err := finishFile(db, file); err != nil {
			return err
		}
		return os.Rename(path, b.path)
	})
	if err != nil {
		_ = os.Remove(path) // or it is removed when the store is opened
		if db != nil && b.intact() == nil {
			_ = db.Close() // it is thrown away
		}
		return errors.Join(err, ignoreClosed(file.Close()))
	}
	return b.moveTo(db, file, syncDir(dir) == nil)
}

// moveTo uses a new file, now that the old one is gone. If it is not known that
// the directory is on the disk and speaks of it, nothing is written to the file
// before that.
func (b *Bolt) moveTo(db *bolt.DB, file *os.File, settled bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.db != nil {
		_ = b.db.Close() // it has nothing that is missed
	}
	_ = b.file.Load().Close() // bbolt did that, if there was one
	b.db = db
	b.file.Store(file)
	err := b.guarded(func() error { return db.View(b.takeStock) })
	if !settled {
		b.unsettle()
	}
	return err
}

// createNamed makes an empty file at a path for a file that will be at another
// one, which its errors name.
func createNamed(path, name string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	named, err := duplicate(file, name)
	return named, errors.Join(err, file.Close())
}

// finishFile brings a file that was written without a sync to the disk, and
// checks it.
func finishFile(db *bolt.DB, file *os.File) error {
	if err := file.Sync(); err != nil {
		return err
	}
	db.NoSync, db.NoGrowSync = false, false
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return checkPages(file, info.Size())
}

func ignoreClosed(err error) error {
	if errors.Is(err, fs.ErrClosed) {
		return nil
	}
	return err
}
