// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// settle makes sure that what can be seen in the store is on the disk too. It
// does so after a commit failed: when the last fsync of a commit fails, bbolt
// shows the transaction though no disk may have it, and never writes it again;
// when memory can't be mapped, it shows nothing any more. So the meta pages are
// written anew, and bbolt starts anew, before anything else is written. Only
// the committer calls it, which tries again until it succeeds.
func (b *Bolt) settle() error {
	if !b.unsettled {
		return nil
	}
	b.mu.Lock() // bbolt may think that pages are free that a reader has not left yet
	defer b.mu.Unlock()
	err := b.guarded(func() error {
		return errors.Join(rewriteMeta(b.file.Load()), b.reopen(), syncDir(filepath.Dir(b.path)))
	})
	if err != nil {
		b.unsettle()
		return translate(err)
	}
	b.unsettled = false
	return nil
}

// unsettle says that the disk may not have what can be seen in the store.
func (b *Bolt) unsettle() {
	b.unsettled = true
	b.durable.Store(-1)
}

// rewriteMeta writes both meta pages as they can be read, and syncs the file.
// The pages that they speak of were synced before bbolt wrote them. Should the
// machine fail meanwhile, the one that the disk has is written over with itself.
func rewriteMeta(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	pages := pageFile{file: file, size: info.Size()}
	if err := pages.readMeta(); err != nil {
		return err
	}
	metas := make([]byte, 2*int(pages.meta.pageSize))
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, int64(len(metas))), metas); err != nil {
		return err
	}
	if _, err := file.WriteAt(metas, 0); err != nil {
		return err
	}
	return file.Sync()
}

// reopen replaces bbolt's state by what is in the file, without letting go of
// the lock.
func (b *Bolt) reopen() error {
	old := b.file.Load()
	file, err := duplicate(old, b.path)
	if err != nil {
		return fmt.Errorf("opening the tag store again: %w", err)
	}
	db, err := mapFile(file, false)
	if err != nil {
		// bbolt let go of the lock, which both files share
		if lost := flock(old, syscall.LOCK_EX|syscall.LOCK_NB); lost != nil {
			b.breakDown(damaged("its lock was lost: %v", lost))
		}
		return fmt.Errorf("opening the tag store again: %w", err)
	}
	_ = old.Close() // first, so that bbolt does not unlock the file: it will complain, and free the rest
	_ = b.db.Close()
	b.file.Store(file)
	b.db = db
	return db.View(b.takeStock)
}

// duplicate returns another handle of an open file, with the same lock.
func duplicate(file *os.File, name string) (*os.File, error) {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// translate says of errors what they are called here, and what is to be done
// about them.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return ErrClosed
	case is(err, syscall.ENOSPC), is(err, syscall.EDQUOT), is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case is(err, syscall.EIO), is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrVolume, err)
	}
	return err
}

// is reports whether an error is of a kind, though bbolt keeps the words only
// of errors on the way of growing a file.
func is(err error, kind syscall.Errno) bool {
	return errors.Is(err, kind) || strings.HasSuffix(err.Error(), ": "+kind.Error())
}

// mapFile opens a file with bbolt, which locks it.
func mapFile(file *os.File, noSync bool) (*bolt.DB, error) {
	db, err := bolt.Open(file.Name(), 0o600, &bolt.Options{
		OpenFile:   func(string, int, os.FileMode) (*os.File, error) { return file, nil },
		Timeout:    lockRetry, // does not matter: file has the lock, or is known to nobody else
		NoSync:     noSync,
		NoGrowSync: noSync,
	})
	if err != nil {
		return nil, err
	}
	db.AllocSize = allocSize
	return db, nil
}
