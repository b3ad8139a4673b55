// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"k8s.io/apimachinery/pkg/types"
)

// The suffixes of file names after the UID. The file of the snapshot has none.
const (
	factsSuffix      = ".facts"
	corruptSuffix    = ".corrupt"    // damaged file that was set aside; only the latest is kept
	unfinishedSuffix = ".unfinished" // file that will replace another one
)

// maxFile is the size in bytes above which a file is treated as damaged. No snapshot reaches it.
const maxFile = 1 << 30

// errDamaged is wrapped by errors of files that are damaged or were not written by the store.
var errDamaged = errors.New("not an intact file of the tag store")

func damagedError(format string, values ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, values...))
}

// objectState caches the state of the files of a key.
type objectState struct {
	// guarded by the lock of the object's name:
	durable        bool // this process wrote the snapshot and synced it
	factsDurable   bool // the same for the facts
	foldersDurable bool // the names of the folders are durable

	info      atomic.Pointer[Info] // of the snapshot, after it was checked or written
	bytes     atomic.Int64         // size of the snapshot's file, 0 if there is none
	factBytes atomic.Int64         // size of the facts' file, 0 if there is none
	facts     atomic.Int64         // number of facts when they were last read or written
}

// stateOf returns the state of a key, creating it if needed.
func (s *Store) stateOf(key Key) *objectState {
	value, _ := s.objects.LoadOrStore(key, &objectState{})
	return value.(*objectState)
}

// objectFiles accesses the files of a key while the lock of its name is held.
type objectFiles struct {
	*Store
	key   Key
	path  string // of the snapshot's file; the other files have suffixes
	state *objectState
}

// folderOf returns the folder of the files for a valid object name.
func (s *Store) folderOf(name types.NamespacedName) string {
	return filepath.Join(s.dir, name.Namespace, name.Name)
}

// parsePath parses a path NAMESPACE/NAME/FILE into key and suffix, and reports whether the file may be one
// of the store's.
func parsePath(file string) (Key, string, bool) {
	parts := strings.Split(file, "/")
	uid, _, _ := strings.Cut(parts[2], ".")
	key, suffix := Key{parts[0], parts[1], types.UID(uid)}, parts[2][len(uid):]
	known := []string{"", factsSuffix, corruptSuffix, factsSuffix + corruptSuffix, unfinishedSuffix, factsSuffix + unfinishedSuffix}
	return key, suffix, slices.Contains(known, suffix) && key.validate() == nil
}

var seed = maphash.MakeSeed()

// lockName locks the files of an object's name and returns the function that unlocks them.
func (s *Store) lockName(ctx context.Context, name types.NamespacedName) (func(), error) {
	release, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	lock := &s.names[maphash.Comparable(seed, name)%uint64(len(s.names))]
	lock.Lock()
	return func() { lock.Unlock(); release() }, nil
}

// withFiles calls use with the files of a key. If write is set, it creates their folder; otherwise
// the error is ErrNotFound if no files are stored for the key.
func (s *Store) withFiles(ctx context.Context, key Key, write bool, use func(*objectFiles) error) error {
	unlock, err := s.lockName(ctx, key.NamespacedName())
	if err != nil {
		return err
	}
	defer unlock()
	if _, found := s.objects.Load(key); !found && !write {
		return ErrNotFound
	}
	path := s.folderOf(key.NamespacedName())
	if write {
		s.folders.Lock() // prune may remove the namespace's folder while it is empty
		err = os.MkdirAll(path, 0o700)
		s.folders.Unlock()
	}
	if err != nil {
		return translate(err)
	}
	return translate(use(&objectFiles{Store: s, key: key, path: filepath.Join(path, string(key.UID)), state: s.stateOf(key)}))
}

// remove removes the files of an object's name whose UIDs match. That need not be durable: files
// that reappear are removed after the next start. The snapshot is removed last, so that facts never
// remain without one.
func (s *Store) remove(ctx context.Context, name types.NamespacedName, matches func(types.UID) bool) error {
	unlock, err := s.lockName(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if (Key{name.Namespace, name.Name, "any"}).validate() != nil {
		return nil // nothing is stored for invalid names
	}
	files, _ := fs.Glob(os.DirFS(s.dir), filepath.Join(name.Namespace, name.Name, "*")) // nothing is stored if it can't be read
	for _, file := range slices.Backward(files) {
		key, suffix, ok := parsePath(file)
		if !ok || !matches(key.UID) {
			continue
		}
		file = filepath.Join(s.dir, file)
		if content, _ := read(file); suffix == "" && !bytes.HasPrefix(content, snapshotMagic) {
			// not written by the store: it is reported and stays
			s.report(Report{Kind: LeftoversFound, Paths: []string{file}})
		} else if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing the tags of %s: %w", key, translate(err))
		}
		s.objects.Delete(key)
		s.indexes.drop(key)
	}
	s.prune(name)
	return nil
}

// prune removes the empty folders of an object's name. Errors are ignored: removing a folder that
// is not empty is expected to fail.
func (s *Store) prune(name types.NamespacedName) {
	s.folders.Lock()
	defer s.folders.Unlock()
	if os.Remove(s.folderOf(name)) == nil && os.Remove(filepath.Join(s.dir, name.Namespace)) == nil {
		s.namespaces.Delete(name.Namespace)
	}
}

// read returns the content of a file, or ErrNotFound. The error wraps errDamaged if the file can't
// be one of the store's.
func read(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, ErrNotFound
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		return nil, damagedError("it is a %s of %d bytes", info.Mode().Type(), info.Size())
	}
	return os.ReadFile(path)
}

// setAside renames a damaged file, replacing one that was set aside before, and reports it.
func (f *objectFiles) setAside(suffix string, kind ReportKind, cause error) error {
	path := f.path + suffix
	_ = os.Remove(path + corruptSuffix) // fails for a folder that is not empty, and then Rename fails
	if err := os.Rename(path, path+corruptSuffix); err != nil {
		// the cause is not wrapped: callers handle errDamaged by setting the file aside, which just failed
		return fmt.Errorf("setting %s aside: %w (because: %s)", path, err, cause.Error())
	}
	f.report(Report{Kind: kind, Key: f.key, Paths: []string{path + corruptSuffix}, Err: cause})
	return nil
}

// write durably writes content to a file of the key. With an offset it writes into the existing
// file. Without one it writes a new file and renames it.
func (f *objectFiles) write(suffix string, content []byte, offset int64) error {
	path, flags := f.path+suffix, os.O_WRONLY
	if offset == 0 {
		path, flags = path+unfinishedSuffix, flags|os.O_CREATE|os.O_TRUNC
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.WriteAt(content, offset); err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if offset > 0 {
		return err
	}
	if err == nil {
		err = os.Rename(path, f.path+suffix)
	}
	if err != nil {
		_ = os.Remove(path) // otherwise the next start removes it
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncParents makes the names of the parent folders durable. After the files are synced it costs
// little, because the file system has written the names with them.
func (f *objectFiles) syncParents() error {
	if f.state.foldersDurable {
		return nil
	}
	err := syncFolder(filepath.Join(f.dir, f.key.Namespace))
	if _, durable := f.namespaces.Load(f.key.Namespace); err == nil && !durable {
		if err = syncFolder(f.dir); err == nil {
			f.namespaces.Store(f.key.Namespace, true)
		}
	}
	f.state.foldersDurable = err == nil
	return err
}

// syncFolder syncs a folder if the file system supports it.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	err = folder.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, folder.Close())
}
