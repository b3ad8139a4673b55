// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	fileName = "tags.db"

	// asideName is what a damaged file is renamed to: the number counts up,
	// and the latest maxAside files are kept.
	asideName = fileName + ".corrupt-%d"
	maxAside  = 3

	defaultLockTimeout = 10 * time.Second
	lockRetry          = 50 * time.Millisecond
)

// Option changes how a store is opened.
type Option func(*options)

type options struct {
	report       func(Report)
	lockTimeout  time.Duration
	done         <-chan struct{} // nil for one that is never closed
	compactAbove int64           // bytes
	now          func() time.Time
	maxFacts     int64 // of one key
	registerer   prometheus.Registerer
}

// WithReport sets the function that is told what happens to the store besides
// the calls made to it. It may be called by any method, from several goroutines
// at once, and must not call the store.
func WithReport(report func(Report)) Option {
	return func(o *options) { o.report = report }
}

// WithLockTimeout sets how long to wait for another process to let go of the
// store, 10 s by default. A pod that is replaced takes a moment to end.
func WithLockTimeout(timeout time.Duration) Option {
	return func(o *options) { o.lockTimeout = timeout }
}

// WithDone sets what ends the wait for another process when it is closed. The
// error is context.Canceled then.
func WithDone(done <-chan struct{}) Option {
	return func(o *options) { o.done = done }
}

// WithClock sets what tells the time, time.Now by default.
func WithClock(now func() time.Time) Option {
	return func(o *options) { o.now = now }
}

// newOptions returns the defaults as options change them.
func newOptions(opts []Option) options {
	o := options{
		report: func(Report) {}, lockTimeout: defaultLockTimeout, compactAbove: compactAbove, now: time.Now, maxFacts: MaxTags,
	}
	for _, apply := range opts {
		apply(&o)
	}
	return o
}

// OpenBolt opens the store in a directory, and makes both if they are missing.
// A file in the store's place that is none, or is damaged, or was written by a
// later version of this program in a format unknown to this one, is renamed and
// reported, and the store starts empty. The errors wrap ErrLocked when another
// process keeps the store in use, and ErrNoSpace or ErrVolume when its volume is
// to blame; others are those of the file system.
func OpenBolt(dir string, opts ...Option) (*Bolt, error) {
	o := newOptions(opts)
	m := newMetrics()
	o.report = m.counted(o.report)
	store, err := openDir(dir, o)
	if err != nil {
		return nil, fmt.Errorf("opening the tag store in %s: %w", dir, translate(err))
	}
	reportLeftovers(dir, o.report)
	m.usage = store.Usage
	if o.registerer != nil {
		o.registerer.MustRegister(m)
	}
	return store, nil
}

func openDir(dir string, o options) (*Bolt, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fileName)
	store, err := openChecked(path, o)
	if errors.Is(err, ErrDamaged) { // it is out of the way by now
		store, err = openChecked(path, o)
	}
	if err != nil {
		return nil, err
	}
	if err := syncDir(dir); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// openChecked opens the file at a path after it was locked and checked. When
// the error wraps ErrDamaged, the file was set aside.
func openChecked(path string, o options) (*Bolt, error) {
	file, err := openLocked(path, o)
	if err == nil {
		var store *Bolt
		if store, err = openLockedFile(file, o); err == nil {
			return store, nil
		}
		// After the file was set aside: until then the lock is needed, so that
		// no two processes do that. Nothing was written that could be lost.
		defer func() { _ = store.Close() }()
	}
	if !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	aside, failed := setAside(path)
	if failed != nil {
		// The cause is told but not wrapped: ErrDamaged would say that the file is out of the way.
		return nil, fmt.Errorf("setting %s aside: %w (because: %s)", path, failed, err.Error())
	}
	o.report(Report{Kind: FileSetAside, Paths: []string{aside}, Err: err})
	return nil, err
}

// openLocked opens the file at a path, makes it if it is missing, and locks it,
// for which it waits up to the lock timeout. bbolt will take the same lock again, which
// the open file already has: so nobody can change the file between check and use.
func openLocked(path string, o options) (*os.File, error) {
	expired := time.NewTimer(o.lockTimeout)
	defer expired.Stop()
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for {
		file, err := tryOpenLocked(path)
		if file != nil || err != nil {
			return file, err
		}
		select {
		case <-retry.C:
		case <-o.done:
			return nil, fmt.Errorf("waiting for the lock on %s: %w", path, context.Canceled)
		case <-expired.C:
			return nil, fmt.Errorf("%w (waited %s for the lock on %s)", ErrLocked, o.lockTimeout, path)
		}
	}
}

// tryOpenLocked is one try of openLocked. It returns neither a file nor an error
// where the next try may have more luck.
func tryOpenLocked(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, damaged("%s is no regular file", path)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	locked, err := lock(file, path)
	if locked {
		return file, nil
	}
	return nil, errors.Join(err, file.Close())
}

// lock tries to lock a file, and reports whether it is now locked and still the
// one at its path: another process may have set it aside before.
func lock(file *os.File, path string) (bool, error) {
	err := flock(file, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	mine, err := file.Stat()
	if err != nil {
		return false, err
	}
	current, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(mine, current), err
}

// flock changes the lock of a file.
func flock(file *os.File, how int) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = syscall.Flock(int(fd), how) }); err != nil {
		return err
	}
	return os.NewSyscallError("flock", failed)
}

// setAside renames what is at the path, removes what was set aside long ago,
// and returns the new path.
func setAside(path string) (string, error) {
	dir := filepath.Dir(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	next := 1
	for _, entry := range entries {
		var n int
		if _, err := fmt.Sscanf(entry.Name(), asideName, &n); err == nil {
			next = max(next, n+1)
		}
	}
	aside := filepath.Join(dir, fmt.Sprintf(asideName, next))
	if err := os.Rename(path, aside); err != nil {
		return "", err
	}
	// So a disk that goes bad again and again does not fill up. Not worth an
	// error: it fails for a directory with files in it, which stays.
	_ = os.Remove(filepath.Join(dir, fmt.Sprintf(asideName, next-maxAside)))
	return aside, nil
}

// syncDir makes the names in a directory durable, where the file system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// leftovers are the names of a Badger store's files, which another
// implementation of this controller keeps in the same directory.
var leftovers = []string{"*.vlog", "*.sst", "*.mem", "MANIFEST", "KEYREGISTRY", "DISCARD"}

// reportLeftovers reports files of another storage, if there are any.
func reportLeftovers(dir string, report func(Report)) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // the store is open, and this is but a hint
	}
	var found []string
	for _, entry := range entries {
		if slices.ContainsFunc(leftovers, func(pattern string) bool {
			match, err := filepath.Match(pattern, entry.Name())
			return err == nil && match
		}) {
			found = append(found, filepath.Join(dir, entry.Name()))
		}
	}
	if len(found) > 0 {
		report(Report{Kind: LeftoversFound, Paths: found})
	}
}
