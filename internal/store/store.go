// SPDX-License-Identifier: Apache-2.0

// Package store stores the latest snapshot of every image repository in a file, so that tags
// survive a restart and policies can be evaluated without requests to the registry.
//
// The folder of the store contains, for each object, the files
//
//	<namespace>/<name>/<uid>          the snapshot (see snapshot.go)
//	<namespace>/<name>/<uid>.facts    the facts of its images (see factlog.go)
//
// and damaged files, which were set aside with the suffix .corrupt. Files are replaced atomically
// by renaming. All other files in the folder are left unchanged.
package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

var (
	// ErrNotFound is returned if the store has no snapshot for the key, even if it has one for an
	// object of the same name with another UID.
	ErrNotFound = errors.New("no tags are stored")
	// ErrClosed is returned by all methods except Close after the store is closed.
	ErrClosed = errors.New("the tag store is closed")
	// ErrInvalid is wrapped by the errors for keys that are not valid names of objects, and for
	// invalid snapshots and facts.
	ErrInvalid = errors.New("invalid for the tag store")
	// ErrTooLarge is wrapped by the errors for data that exceeds MaxTags or MaxTagBytes.
	ErrTooLarge = errors.New("too large for the tag store")
	// ErrLocked is wrapped by the errors of a store that another process uses.
	ErrLocked = errors.New("another process uses the tag store")
	// ErrNoSpace is wrapped by the errors of a store whose volume is full.
	ErrNoSpace = errors.New("no space is left on the volume of the tag store: free some, or make it larger")
	// ErrVolume is wrapped by the errors of a store whose volume can't be read or written.
	ErrVolume = errors.New("the volume of the tag store fails: check the disk")
)

const (
	// MaxTags is the maximum number of tags in a snapshot.
	MaxTags = 2 << 20
	// MaxTagBytes is the maximum total size of the image name and the tags of a snapshot.
	MaxTagBytes = 64 << 20
)

// Key identifies the object whose tags are stored. Snapshots are stored per object, not per image,
// so that two objects for one image, with different exclusions or credentials, don't share tags.
// Because of the UID, an object that was deleted and created again does not inherit tags.
type Key struct {
	Namespace, Name string
	UID             types.UID
}

// NamespacedName returns the key without its UID.
func (k Key) NamespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: k.Name}
}

// String returns the key for logs and errors.
func (k Key) String() string {
	return k.Namespace + "/" + k.Name + " (" + string(k.UID) + ")"
}

// validate returns an error that wraps ErrInvalid unless the parts are a valid namespace, name and
// UID in Kubernetes. Valid parts are safe file names.
func (k Key) validate() error {
	problems := slices.Concat(validation.IsDNS1123Label(k.Namespace), validation.IsDNS1123Subdomain(k.Name),
		validation.IsDNS1123Label(string(k.UID)))
	if len(problems) > 0 {
		return fmt.Errorf("%w: %q is not the key of an object: %s", ErrInvalid, k, strings.Join(problems, ", "))
	}
	return nil
}

// Info describes a snapshot without its tags.
type Info struct {
	// Image is the snapshot's image.
	Image string
	// Revision is the snapshot's revision.
	Revision string
	// Tags is the number of tags.
	Tags int
}

// Get returns the snapshot stored for key, or ErrNotFound. The snapshot shares no memory with the
// store; its tags share memory with each other. A damaged file is set aside and treated as not
// found.
func (s *Store) Get(ctx context.Context, key Key) (scan.Snapshot, error) {
	var found scan.Snapshot
	err := s.withFiles(ctx, key, false, func(f *objectFiles) error {
		var err error
		_, found, err = f.snapshot(true)
		return err
	})
	return found, err
}

// Info returns the Info of the snapshot that Get would return, or ErrNotFound. It costs much less,
// because the file is read and checked only once.
func (s *Store) Info(ctx context.Context, key Key) (Info, error) {
	var found Info
	err := s.withFiles(ctx, key, false, func(f *objectFiles) error {
		var err error
		found, err = f.info()
		return err
	})
	return found, err
}

// Put replaces the snapshot stored for key. It is atomic, and durable when it returns without an
// error. After an error the previous snapshot is still stored, or the new one if the disk failed in
// the last step; the next successful Put makes it durable. A snapshot that equals the stored one is
// not written again. The store does not retain the slices of the snapshot.
func (s *Store) Put(ctx context.Context, key Key, snapshot scan.Snapshot) error {
	if err := cmp.Or(key.validate(), validate(snapshot)); err != nil {
		return err
	}
	content := encodeSnapshot(key, snapshot)
	if err := s.withFiles(ctx, key, true, func(f *objectFiles) error { return f.putSnapshot(snapshot, content) }); err != nil {
		return fmt.Errorf("storing the tags of %s: %w", key, err)
	}
	return nil
}

// putSnapshot writes a snapshot, with its encoded content, unless it is already stored, and updates
// the facts to match its image and tags.
func (f *objectFiles) putSnapshot(snapshot scan.Snapshot, content []byte) error {
	previous, err := f.info()
	if errors.Is(err, ErrNotFound) {
		previous.Image, err = snapshot.Image, nil // facts may remain from a damaged snapshot
	}
	if err != nil {
		return err
	}
	if f.state.durable && previous.Image == snapshot.Image {
		if stored, err := read(f.path); err == nil && bytes.Equal(stored, content) {
			return nil
		}
	}
	if err := f.updateFacts(previous, snapshot); err != nil {
		return err
	}
	f.state.durable = false
	f.state.info.Store(nil)
	if err := f.write("", content, 0); err != nil {
		return err
	}
	if err := f.syncParents(); err != nil {
		return err
	}
	f.state.durable = true
	f.state.info.Store(&Info{Image: snapshot.Image, Revision: snapshot.Revision(), Tags: len(snapshot.Tags)})
	f.state.bytes.Store(int64(len(content)))
	if previous.Image != snapshot.Image {
		return f.removeFacts()
	}
	return nil
}

// info returns the Info of the stored snapshot.
func (f *objectFiles) info() (Info, error) {
	if info := f.state.info.Load(); info != nil {
		return *info, nil
	}
	found, _, err := f.snapshot(false)
	return found, err
}

// snapshot reads the snapshot, and decodes its tags on request. It returns ErrNotFound if there is
// none. A damaged file is set aside and treated as not found.
func (f *objectFiles) snapshot(decode bool) (Info, scan.Snapshot, error) {
	var found Info
	var snapshot scan.Snapshot
	content, err := read(f.path)
	if err == nil {
		found, snapshot, err = openSnapshot(f.key, content, decode)
	}
	if errors.Is(err, errDamaged) {
		if err = f.setAside("", RecordDamaged, err); err == nil {
			err = ErrNotFound
		}
	}
	switch {
	case err == nil:
		f.state.info.Store(&found)
	case errors.Is(err, ErrNotFound):
		f.state.info.Store(nil)
		f.state.bytes.Store(0)
	}
	return found, snapshot, err
}

// Delete removes the data stored for key: first the facts, then the snapshot. It returns no error
// if nothing is stored. A file of another program in place of the snapshot is left and reported.
func (s *Store) Delete(ctx context.Context, key Key) error {
	return s.remove(ctx, key.NamespacedName(), func(uid types.UID) bool { return uid == key.UID })
}

// Forget removes the data stored for an object's name, except that of the UID keep unless keep is
// empty. It serves deletions of objects whose UID is unknown.
func (s *Store) Forget(ctx context.Context, name types.NamespacedName, keep types.UID) error {
	return s.remove(ctx, name, func(uid types.UID) bool { return keep == "" || uid != keep })
}

// Keys returns the keys with stored files, sorted by their text.
func (s *Store) Keys(ctx context.Context) ([]Key, error) {
	release, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	var keys []Key
	s.objects.Range(func(key, _ any) bool {
		keys = append(keys, key.(Key))
		return true
	})
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Compare(a.String(), b.String()) })
	return keys, nil
}
