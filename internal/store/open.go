// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
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
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// lockName is the file by whose lock a process has the folder to itself. It is
	// no name of a namespace.
	lockName = "tags.lock"

	// lockTimeout is how long to wait for another process to let go of the folder. A pod
	// that is replaced takes a moment to end.
	lockTimeout = 10 * time.Second
	lockRetry   = 50 * time.Millisecond
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
	// Now returns the time, time.Now by default.
	Now func() time.Time
}

// Store keeps one snapshot per key, and facts of its images, in a folder. It is safe
// for concurrent use. Every method that takes a context returns its error, having
// done nothing, when it is over at the call.
type Store struct {
	dir         string
	options     Options
	maxFacts    int           // of one key
	lockTimeout time.Duration // lockTimeout but in tests
	metrics     []prometheus.Collector
	reports     *prometheus.CounterVec

	calls  sync.RWMutex // held by every call in progress, and locked to open and to close the store
	failed error        // why the store can't be used
	lock   *os.File     // nil until the store is opened

	objects    sync.Map        // Key to *object: those that there are files of
	names      [256]sync.Mutex // held to use the files of an object's name
	folders    sync.Mutex      // held to make folders, and to remove empty ones
	namespaces sync.Map        // those whose folders' names are known to be durable
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
	if options.Now == nil {
		options.Now = time.Now
	}
	s := &Store{dir: dir, options: options, maxFacts: MaxTags, lockTimeout: lockTimeout}
	s.makeMetrics()
	return s
}

// enter opens the store, if that was not done before, and returns the function that ends
// the use of it. A caller waits no longer than ctx for it to be opened, which may take as
// long as another process has the folder.
func (s *Store) enter(ctx context.Context) (func(), error) {
	s.calls.RLock()
	if s.lock == nil && s.failed == nil {
		s.calls.RUnlock()
		s.open(ctx)
		s.calls.RLock()
	}
	if err := cmp.Or(ctx.Err(), s.failed); err != nil {
		s.calls.RUnlock()
		return nil, err
	}
	return s.calls.RUnlock, nil
}

// open takes the folder and finds what is in it, of which it reads no more than names
// and sizes. Where ctx ends meanwhile, the next call opens the store.
func (s *Store) open(ctx context.Context) {
	s.calls.Lock()
	defer s.calls.Unlock()
	if s.lock != nil || s.failed != nil || ctx.Err() != nil {
		return
	}
	err := os.MkdirAll(s.dir, 0o700)
	if err == nil {
		s.lock, err = s.acquire(ctx)
	}
	switch {
	case err == nil:
		s.discover()
		if s.options.Metrics != nil {
			s.options.Metrics.MustRegister(s.metrics...)
		}
	case ctx.Err() == nil:
		s.failed = fmt.Errorf("opening the tag store in %s: %w", s.dir, translate(err))
	}
}

// Close waits for calls in progress and frees what the store holds open. Closing again
// does nothing. A store that was never used is never opened.
func (s *Store) Close() error {
	s.calls.Lock()
	defer s.calls.Unlock()
	lock := s.lock
	s.lock, s.failed = nil, ErrClosed
	if lock == nil {
		return nil
	}
	return lock.Close()
}

// acquire locks the folder, for which it waits up to the lock timeout, or until ctx ends.
func (s *Store) acquire(ctx context.Context) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = wait.PollUntilContextTimeout(ctx, lockRetry, s.lockTimeout, true, func(context.Context) (bool, error) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, unix.EINTR) {
			return false, nil
		}
		return err == nil, os.NewSyscallError("flock", err)
	})
	if err == nil {
		return file, nil
	}
	if wait.Interrupted(err) {
		err = fmt.Errorf("%w (waited %s for the lock on %s)", ErrLocked, s.lockTimeout, file.Name())
	}
	return nil, errors.Join(err, file.Close())
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
			s.stateOf(key).factBytes.Store(info.Size())
		case "":
			s.stateOf(key).bytes.Store(info.Size())
		default:
			s.stateOf(key) // something was set aside
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
