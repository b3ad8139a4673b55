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

// What follows the UID in the names of files. That of the snapshot has nothing.
const (
	factsSuffix = ".facts"
	asideSuffix = ".corrupt"    // of what was set aside: the latest of each file
	unfinished  = ".unfinished" // of what is to take the place of a file
)

// maxFile is more than how many bytes the file of a snapshot can need, and how many the
// facts of an object may take.
const maxFile = 1 << 30

// errDamaged is wrapped by errors that say that a file is none of the store's, or no
// longer one.
var errDamaged = errors.New("not an intact file of the tag store")

func damagedError(format string, values ...any) error {
	return fmt.Errorf("%w: %s", errDamaged, fmt.Sprintf(format, values...))
}

// objectState is what is known of the files of a key without reading them.
type objectState struct {
	// guarded by the lock of the object's name
	durable      bool // this process wrote the snapshot, and the disk has it
	factsDurable bool // the same of the facts
	named        bool // the disk has the names of the folders

	info      atomic.Pointer[Info] // what the snapshot's file says, once it was checked or written
	bytes     atomic.Int64         // of the snapshot's file, 0 where there is none
	factBytes atomic.Int64         // of the facts' file, 0 where there is none
	facts     atomic.Int64         // how many there were when they were last read or written
}

// stateOf returns what is known of a key that there are files of.
func (s *Store) stateOf(key Key) *objectState {
	value, _ := s.objects.LoadOrStore(key, &objectState{})
	return value.(*objectState)
}

// objectFiles is where the files of a key are, while the lock of its name is held.
type objectFiles struct {
	*Store
	key   Key
	path  string // of the snapshot's file; what follows it is in the names of the others
	state *objectState
}

// folderOf returns where the files of an object's name are, which is valid.
func (s *Store) folderOf(name types.NamespacedName) string {
	return filepath.Join(s.dir, name.Namespace, name.Name)
}

// parsePath returns the key and the suffix in the path of a file, and whether the file
// may be one of the store's.
func parsePath(file string) (Key, string, bool) {
	parts := strings.Split(file, "/")
	uid, _, _ := strings.Cut(parts[2], ".")
	key, suffix := Key{parts[0], parts[1], types.UID(uid)}, parts[2][len(uid):]
	known := []string{"", factsSuffix, asideSuffix, factsSuffix + asideSuffix, unfinished, factsSuffix + unfinished}
	return key, suffix, slices.Contains(known, suffix) && key.validate() == nil
}

var seed = maphash.MakeSeed()

// lockName begins a call that uses the files of an object's name, and returns the function
// that ends it.
func (s *Store) lockName(ctx context.Context, name types.NamespacedName) (func(), error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	lock := &s.names[maphash.Comparable(seed, name)%uint64(len(s.names))]
	lock.Lock()
	return func() { lock.Unlock(); leave() }, nil
}

// withFiles calls use with the folder of a key, which it makes if write is set. Otherwise
// the error is ErrNotFound where nothing is held for the key.
func (s *Store) withFiles(ctx context.Context, key Key, write bool, use func(*objectFiles) error) error {
	end, err := s.lockName(ctx, key.NamespacedName())
	if err != nil {
		return err
	}
	defer end()
	if _, held := s.objects.Load(key); !held && !write {
		return ErrNotFound
	}
	path := s.folderOf(key.NamespacedName())
	if write {
		s.folders.Lock() // as long as it is empty, prune may remove that of the namespace
		err = os.MkdirAll(path, 0o700)
		s.folders.Unlock()
	}
	if err != nil {
		return translate(err)
	}
	return translate(use(&objectFiles{Store: s, key: key, path: filepath.Join(path, string(key.UID)), state: s.stateOf(key)}))
}

// remove removes the files of an object's name with the UIDs that gone returns true for.
// That need not be durable: what comes back is swept at the next start. A snapshot is
// removed after all else, so that what was learned of its images never stays alone.
func (s *Store) remove(ctx context.Context, name types.NamespacedName, gone func(types.UID) bool) error {
	end, err := s.lockName(ctx, name)
	if err != nil {
		return err
	}
	defer end()
	if (Key{name.Namespace, name.Name, "any"}).validate() != nil {
		return nil // of what is no object nothing is held
	}
	files, _ := fs.Glob(os.DirFS(s.dir), filepath.Join(name.Namespace, name.Name, "*")) // where it can't be read, nothing is held
	for _, file := range slices.Backward(files) {
		key, suffix, ok := parsePath(file)
		if !ok || !gone(key.UID) {
			continue
		}
		file = filepath.Join(s.dir, file)
		if content, _ := read(file); suffix == "" && !bytes.HasPrefix(content, snapshotMagic) {
			s.report(Report{Kind: LeftoversFound, Paths: []string{file}})
		} else if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing the tags of %s: %w", key, translate(err))
		}
		s.objects.Delete(key)
	}
	s.prune(name)
	return nil
}

// prune removes the folders of an object's name that are empty. Not worth an error: it
// fails for the others, which is what it relies on.
func (s *Store) prune(name types.NamespacedName) {
	s.folders.Lock()
	defer s.folders.Unlock()
	if os.Remove(s.folderOf(name)) == nil && os.Remove(filepath.Join(s.dir, name.Namespace)) == nil {
		s.namespaces.Delete(name.Namespace)
	}
}

// read returns the content of a file, or ErrNotFound. The error wraps errDamaged where
// it can't be one of the store's.
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

// setAside renames a damaged file of the key, which takes the place of one that was set
// aside before, and reports it.
func (f *objectFiles) setAside(suffix string, kind ReportKind, cause error) error {
	path := f.path + suffix
	_ = os.Remove(path + asideSuffix) // a folder with something in it stays, and fails the rename
	if err := os.Rename(path, path+asideSuffix); err != nil {
		// the cause is not wrapped: errDamaged says that the file is out of the way
		return fmt.Errorf("setting %s aside: %w (because: %s)", path, err, cause.Error())
	}
	f.report(Report{Kind: kind, Key: f.key, Paths: []string{path + asideSuffix}, Err: cause})
	return nil
}

// write makes content durable in a file of the key. From an offset on it is written into the
// file that there is. From the beginning on it is written into another one, which then takes
// the place of that.
func (f *objectFiles) write(suffix string, content []byte, offset int64) error {
	path, flags := f.path+suffix, os.O_WRONLY
	if offset == 0 {
		path, flags = path+unfinished, flags|os.O_CREATE|os.O_TRUNC
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
		_ = os.Remove(path) // or the next start removes it
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncParents makes the names durable of the folders that the key's files are in. Once they
// are written it costs little: the file system has written the names with them.
func (f *objectFiles) syncParents() error {
	if f.state.named {
		return nil
	}
	err := syncFolder(filepath.Join(f.dir, f.key.Namespace))
	if _, durable := f.namespaces.Load(f.key.Namespace); err == nil && !durable {
		if err = syncFolder(f.dir); err == nil {
			f.namespaces.Store(f.key.Namespace, true)
		}
	}
	f.state.named = err == nil
	return err
}

// syncFolder makes the names in a folder durable, where the file system can.
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
