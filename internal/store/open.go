// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

const (
	// lockName is the file by whose lock a process has the folder to itself. It is
	// no name of a namespace.
	lockName = "tags.lock"

	defaultLockTimeout = 10 * time.Second
	lockRetry          = 50 * time.Millisecond
)

// Options changes how a store is opened and what it calls. The zero value is usable.
type Options struct {
	// Report is called with what happens to the store besides the calls made to it.
	// It may be called by any method, from several goroutines at once, and must not
	// call the store.
	Report func(Report)
	// Metrics is where metrics of the store are registered when it is opened. It must
	// know no other store.
	Metrics prometheus.Registerer
	// LockTimeout is how long to wait for another process to let go of the folder,
	// 10 s by default. A pod that is replaced takes a moment to end.
	LockTimeout time.Duration
	// Now returns the time, time.Now by default.
	Now func() time.Time
}

// Store keeps one snapshot per key, and facts of its images, in a folder. It is safe
// for concurrent use. Every method that takes a context returns its error, having
// done nothing, when it is over at the call.
type Store struct {
	dir      string
	options  Options
	maxFacts int // of one key
	metrics  []prometheus.Collector
	reports  *prometheus.CounterVec

	begin   sync.Once
	opened  chan struct{} // closed when the store was opened, or could not be
	closing chan struct{} // closed when the store is to be closed
	end     sync.Once

	calls  sync.RWMutex // held by every call in progress, and locked to close the store
	failed error        // why the store can't be used, set before opened is closed, or with calls locked
	lock   *os.File

	objects sync.Map        // Key to *object: those that there are files of
	names   [256]sync.Mutex // held to use the files of an object's name
	folders sync.Mutex      // held to make folders, and to remove empty ones
}

// New returns the store in a folder. It is opened by its first use, which makes the
// folder if it is missing: a replica that waits to become the leader uses none, and so
// takes no folder from the one that leads. Where the store can't be opened, every use
// returns the error. It wraps ErrLocked when another process keeps the folder in use,
// and ErrNoSpace or ErrVolume when the volume is to blame.
func New(dir string, options Options) *Store {
	if options.Report == nil {
		options.Report = func(Report) {}
	}
	if options.LockTimeout == 0 {
		options.LockTimeout = defaultLockTimeout
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	s := &Store{dir: dir, options: options, maxFacts: MaxTags, opened: make(chan struct{}), closing: make(chan struct{})}
	s.makeMetrics()
	return s
}

// use opens the store, if that was not done before, and returns the function that ends
// the use of it. A caller waits no longer than ctx for it to be opened, which may take as
// long as another process has the folder.
func (s *Store) use(ctx context.Context) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.begin.Do(func() {
		go func() { // a caller that gives up does not end it for the others
			defer close(s.opened)
			if err := s.open(); err != nil {
				s.failed = fmt.Errorf("opening the tag store in %s: %w", s.dir, translate(err))
			}
		}()
	})
	select {
	case <-s.opened:
	case <-s.closing:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.calls.RLock()
	if s.failed != nil {
		s.calls.RUnlock()
		return nil, s.failed
	}
	return s.calls.RUnlock, nil
}

// Close waits for calls in progress and frees what the store holds open. Closing again
// does nothing. A store that was never used is never opened.
func (s *Store) Close() error {
	s.end.Do(func() { close(s.closing) })
	s.begin.Do(func() { s.failed = ErrClosed; close(s.opened) })
	<-s.opened
	s.calls.Lock()
	defer s.calls.Unlock()
	failed := s.failed
	s.failed = ErrClosed
	if failed != nil {
		return nil
	}
	return s.lock.Close()
}

// open takes the folder and finds what is in it, of which it reads no more than names
// and sizes.
func (s *Store) open() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	var err error
	if s.lock, err = s.acquire(); err != nil {
		return err
	}
	s.discover()
	if s.options.Metrics != nil {
		s.options.Metrics.MustRegister(s.metrics...)
	}
	return nil
}

// acquire locks the folder, for which it waits up to the lock timeout, or until the
// store is closed.
func (s *Store) acquire() (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	expired := time.NewTimer(s.options.LockTimeout)
	defer expired.Stop()
	retry := time.NewTicker(lockRetry)
	defer retry.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(os.NewSyscallError("flock", err), file.Close())
		}
		select {
		case <-retry.C:
		case <-s.closing:
			return nil, errors.Join(ErrClosed, file.Close())
		case <-expired.C:
			err := fmt.Errorf("%w (waited %s for the lock on %s)", ErrLocked, s.options.LockTimeout, file.Name())
			return nil, errors.Join(err, file.Close())
		}
	}
}

// discover goes over the names in the folder, and removes what was not finished before.
// A folder that can't be read is taken for one of another program: were it the store's
// own, a write to it says so.
func (s *Store) discover() {
	folder := os.DirFS(s.dir)
	var found []string
	for _, pattern := range leftovers {
		matches, _ := fs.Glob(folder, pattern) // the only error is that of a malformed pattern
		for _, match := range matches {
			found = append(found, filepath.Join(s.dir, match))
		}
	}
	if len(found) > 0 {
		s.report(Report{Kind: LeftoversFound, Paths: found})
	}
	files, _ := fs.Glob(folder, "*/*/*")
	for _, file := range files {
		key, suffix, ok := parsePath(file)
		if !ok {
			continue
		}
		file = filepath.Join(s.dir, file)
		info, err := os.Lstat(file)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		switch suffix {
		case unfinished, factsSuffix + unfinished:
			_ = os.Remove(file) // or the next write says why not
			s.prune(key.NamespacedName())
		case factsSuffix:
			s.objectOf(key).factBytes.Store(info.Size())
		case "":
			s.objectOf(key).bytes.Store(info.Size())
		default:
			s.objectOf(key) // something was set aside
		}
	}
}

// leftovers are the names of what a Badger store or this controller once kept in the
// same folder.
var leftovers = []string{"*.vlog", "*.sst", "*.mem", "MANIFEST", "KEYREGISTRY", "DISCARD", "tags.db", "tags.db.*"}

// translate wraps errors of the volume in those of this package, which say what is to
// be done.
func translate(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrVolume, err)
	}
	return err
}
