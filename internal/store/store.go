// SPDX-License-Identifier: Apache-2.0

// Package store keeps the latest snapshot of every image repository in a file of its
// own, so that tags survive a restart and policies need no registry to be decided.
//
// The folder of the storage has, for each object, the files
//
//	<namespace>/<name>/<uid>          the snapshot (see snapshot.go)
//	<namespace>/<name>/<uid>.facts    what was learned of its images (see factlog.go)
//
// and those with .corrupt after their name, which were set aside. A file is replaced by
// a rename, so it is there wholly or not at all. All other files are left alone.
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

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

var (
	// ErrNotFound is returned where the store holds no snapshot for the key, also
	// when it holds one for an object of that name with another UID.
	ErrNotFound = errors.New("no tags are stored")
	// ErrClosed is returned by every method but Close once the store is closed.
	ErrClosed = errors.New("the tag store is closed")
	// ErrInvalid is wrapped by the errors for a key that is no name of an object,
	// and for a snapshot or a fact that breaks the promises of its type.
	ErrInvalid = errors.New("invalid for the tag store")
	// ErrTooLarge is wrapped by the errors for what exceeds MaxTags or MaxTagBytes.
	ErrTooLarge = errors.New("too large for the tag store")
	// ErrLocked is wrapped by errors of a store that another process keeps in use.
	ErrLocked = errors.New("another process holds the tag store")
	// ErrNoSpace is wrapped by errors of a store whose volume is full.
	ErrNoSpace = errors.New("no space is left on the volume of the tag store: free some, or make it larger")
	// ErrVolume is wrapped by errors of a store whose volume can't be read or written.
	ErrVolume = errors.New("the volume of the tag store fails: see to the disk")
)

const (
	// MaxTags is how many tags one snapshot may have.
	MaxTags = 2 << 20
	// MaxTagBytes is how many bytes the image and tags of one snapshot may have
	// together.
	MaxTagBytes = 64 << 20
)

// Key identifies the object whose tags are kept. It is an object and never an
// image name, so that two objects of one image, with other exclusions or other
// credentials, never see each other's tags. With the UID, an object that was
// deleted and made again does not inherit tags.
type Key struct {
	Namespace, Name string
	UID             types.UID
}

// KeyOf returns the key of an ImageRepository.
func KeyOf(repo *v1.ImageRepository) Key {
	return Key{Namespace: repo.Namespace, Name: repo.Name, UID: repo.UID}
}

// NamespacedName returns the key without its UID.
func (k Key) NamespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: k.Name}
}

// String returns the key for logs and errors.
func (k Key) String() string {
	return k.Namespace + "/" + k.Name + " (" + string(k.UID) + ")"
}

// validate returns an error that wraps ErrInvalid unless the parts are what
// Kubernetes takes for a namespace, a name and a UID. Such parts are names of files.
func (k Key) validate() error {
	problems := slices.Concat(validation.IsDNS1123Label(k.Namespace), validation.IsDNS1123Subdomain(k.Name),
		validation.IsDNS1123Label(string(k.UID)))
	if len(problems) > 0 {
		return fmt.Errorf("%w: %q is no object: %s", ErrInvalid, k, strings.Join(problems, ", "))
	}
	return nil
}

// Info describes a snapshot without its tags.
type Info struct {
	// Image is the snapshot's image.
	Image string
	// Revision is the snapshot's revision.
	Revision string
	// Tags is how many tags it has.
	Tags int
}

// Get returns the snapshot held for key, or ErrNotFound. The snapshot shares no memory with
// the store; its tags share memory with each other. A file that is damaged is set aside and
// counts as not found.
func (s *Store) Get(ctx context.Context, key Key) (scan.Snapshot, error) {
	var found scan.Snapshot
	err := s.withFiles(ctx, key, false, func(f *objectFiles) error {
		var err error
		_, found, err = f.snapshot(true)
		return err
	})
	return found, err
}

// Info returns what Get would return, less the tags, or ErrNotFound. It costs much less: the
// file is read and checked once.
func (s *Store) Info(ctx context.Context, key Key) (Info, error) {
	var found Info
	err := s.withFiles(ctx, key, false, func(f *objectFiles) error {
		var err error
		found, err = f.info()
		return err
	})
	return found, err
}

// Put replaces the snapshot held for key. It is atomic, and durable when it returns
// without an error. After an error what was held is still held or, where it is the
// disk that failed in the last step, the new snapshot is; a Put that then succeeds
// makes sure that it is durable. A snapshot equal to the one held is not written
// again. The store does not keep the slices it is given.
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

// putSnapshot writes a snapshot, whose file has the content, unless it is held. Facts
// follow it: they are about the image and the tags that the store holds.
func (f *objectFiles) putSnapshot(snapshot scan.Snapshot, content []byte) error {
	before, err := f.info()
	if errors.Is(err, ErrNotFound) {
		before.Image, err = snapshot.Image, nil // as facts may be that were beside a damaged file
	}
	if err != nil {
		return err
	}
	if f.state.durable && before.Image == snapshot.Image {
		if held, err := read(f.path); err == nil && bytes.Equal(held, content) {
			return nil
		}
	}
	if err := f.updateFacts(before, snapshot); err != nil {
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
	if before.Image != snapshot.Image {
		return f.removeFacts()
	}
	return nil
}

// info returns what the snapshot's file says of the tags.
func (f *objectFiles) info() (Info, error) {
	if info := f.state.info.Load(); info != nil {
		return *info, nil
	}
	found, _, err := f.snapshot(false)
	return found, err
}

// snapshot reads the snapshot's file, and decodes its tags if asked to. The error is
// ErrNotFound where there is none, or where it is damaged, as then it is set aside.
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

// Delete removes what is held for key, as Forget does: the facts, and then the
// snapshot. Nothing held is no error. A file in its place that is none of the store's
// stays, and is reported.
func (s *Store) Delete(ctx context.Context, key Key) error {
	return s.remove(ctx, key.NamespacedName(), func(uid types.UID) bool { return uid == key.UID })
}

// Forget removes what is held for an object's name except that of the UID keep; nothing
// is kept when keep is empty. It serves deletions that were seen without the UID of
// what was deleted.
func (s *Store) Forget(ctx context.Context, name types.NamespacedName, keep types.UID) error {
	return s.remove(ctx, name, func(uid types.UID) bool { return keep == "" || uid != keep })
}

// Keys returns the keys that there are files of, in the order of their texts.
func (s *Store) Keys(ctx context.Context) ([]Key, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var keys []Key
	s.objects.Range(func(key, _ any) bool {
		keys = append(keys, key.(Key))
		return true
	})
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Compare(a.String(), b.String()) })
	return keys, nil
}
