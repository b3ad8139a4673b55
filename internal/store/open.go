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
	// lockFile is the file whose lock gives a process exclusive use of the folder. It is not a
	// valid name of a namespace.
	lockFile = "tags.lock"

	// lockTimeout is how long to wait for another process to unlock the folder. A replaced pod
	// takes some time to terminate.
	lockTimeout = 10 * time.Second
	lockRetry   = 50 * time.Millisecond
)

// Options configures a store. The zero value is usable.
type Options struct {
	// Report is called with problems that the store finds in its files. It may be called by any
	// method and concurrently, and must not call the store.
	Report func(Report)
	// Metrics registers the metrics of the store when it is opened. It must not contain those of
	// another store.
	Metrics prometheus.Registerer
	// Now returns the current time. The default is time.Now.
	Now func() time.Time
}

// Store stores one snapshot per key, and facts of its images, in a folder. It is safe for
// concurrent use. Every method with a context returns the context's error, without effect, if the
// context is done when it is called.
type Store struct {
	dir         string
	options     Options
	maxFacts    int           // per key
	minIndexed  int           // changed by tests
	lockTimeout time.Duration // changed by tests
	metrics     []prometheus.Collector
	reports     *prometheus.CounterVec

	calls  sync.RWMutex // read-locked by calls in progress, locked to open and close the store
	failed error        // why the store can't be used, or nil
	lock   *os.File     // nil until the store is opened

	objects    sync.Map        // Key to *objectState, for keys with files
	names      [256]sync.Mutex // locks for the files of objects, by the hash of their names
	indexes    *factIndexes    // of the logs of facts
	folders    sync.Mutex      // lock for creating folders and removing empty ones
	namespaces sync.Map        // the namespaces whose folders have durable names
}

// New returns the store in a folder. It is opened by its first use, which creates the folder if
// needed. So a replica that waits for leadership does not block the leader's folder. If the store
// can't be opened, every use returns the error. It wraps ErrLocked if another process uses the
// folder, and ErrNoSpace or ErrVolume for problems of the volume.
func New(dir string, options Options) *Store {
	if options.Report == nil {
		options.Report = func(Report) {}
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	s := &Store{dir: dir, options: options, maxFacts: MaxTags, minIndexed: minIndexed, indexes: newFactIndexes(), lockTimeout: lockTimeout}
	s.makeMetrics()
	return s
}

// enter begins a use of the store and returns the function that ends it. The first use opens the
// store, which may wait for another process, at most until ctx ends.
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

// open locks the folder and lists its files, without reading them. If ctx ends meanwhile, the next
// call opens the store.
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

// Close waits for calls in progress and closes the store. It may be called repeatedly, and for a
// store that was never used.
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

// acquire locks the folder. It waits until the lock timeout or the end of ctx.
func (s *Store) acquire(ctx context.Context) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(s.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
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

// discover lists the files in the folder and removes unfinished ones. Folders that can't be read
// are ignored, since they may belong to another program; if not, writing to them returns an error.
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
		case unfinishedSuffix, factsSuffix + unfinishedSuffix:
			_ = os.Remove(file) // otherwise the next write returns an error
			s.prune(key.NamespacedName())
		case factsSuffix:
			s.stateOf(key).factBytes.Store(info.Size())
		case "":
			s.stateOf(key).bytes.Store(info.Size())
		default:
			s.stateOf(key) // a file that was set aside
		}
	}
}

// leftovers are name patterns of files that a Badger store or an older version of this controller
// stored in the same folder.
var leftovers = []string{"*.vlog", "*.sst", "*.mem", "MANIFEST", "KEYREGISTRY", "DISCARD", "tags.db", "tags.db.*"}

// translate wraps errors of the volume in errors of this package, which name a remedy.
func translate(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrVolume, err)
	}
	return err
}
