// SPDX-License-Identifier: Apache-2.0

// Package tagstore keeps the latest snapshot of every image repository, so that
// tags survive a restart and policies need no registry to be decided.
package tagstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

var (
	// ErrNotFound is returned by Get when the store holds no snapshot for the
	// key, also when it holds one for an object of that name with another UID.
	ErrNotFound = errors.New("no tags are stored")
	// ErrClosed is returned by every method but Close once the store is closed.
	ErrClosed = errors.New("the tag store is closed")
	// ErrInvalid is wrapped by the errors of Put for a snapshot that breaks
	// the promises of its type: tags that are not ascending, or not as many
	// times as tags.
	ErrInvalid = errors.New("invalid snapshot")
	// ErrTooLarge is wrapped by the errors of Put for a snapshot beyond MaxTags
	// or MaxTagBytes.
	ErrTooLarge = errors.New("too large for the tag store")
	// ErrLocked is wrapped by the error of OpenBolt when the file stays in use
	// by somebody else.
	ErrLocked = errors.New("another process holds the tag store")
	// ErrNoSpace is wrapped by errors of a store whose volume is full.
	ErrNoSpace = errors.New("no space is left on the volume of the tag store: free some, or make it larger")
	// ErrVolume is wrapped by errors of a store whose volume can't be read or written.
	ErrVolume = errors.New("the volume of the tag store fails: see to the disk")
	// ErrDamaged is wrapped by errors that say that a file is no tag store, or
	// no longer one.
	ErrDamaged = errors.New("not an intact tag store")
)

const (
	// MaxTags is how many tags one snapshot may have.
	MaxTags = 2 << 20
	// MaxTagBytes is how many bytes the image and tags of one snapshot may
	// have together.
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

// NamespacedName returns the key without its UID.
func (k Key) NamespacedName() types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: k.Name}
}

// String returns the key for logs and errors.
func (k Key) String() string {
	return k.Namespace + "/" + k.Name + " (" + string(k.UID) + ")"
}

// Compare orders keys by namespace, name and UID.
func (k Key) Compare(o Key) int {
	return cmp.Or(
		cmp.Compare(k.Namespace, o.Namespace),
		cmp.Compare(k.Name, o.Name),
		cmp.Compare(k.UID, o.UID),
	)
}

// Reader is the part of a store that a policy needs.
type Reader interface {
	// Get returns the snapshot held for key, or ErrNotFound. The snapshot
	// shares no memory with the store; its tags share memory with each other.
	Get(ctx context.Context, key Key) (scan.Snapshot, error)
	// Info returns what Get would return, less the tags, or ErrNotFound. It
	// costs much less.
	Info(ctx context.Context, key Key) (Info, error)
}

// Info tells of a snapshot without its tags.
type Info struct {
	// Image is the snapshot's image.
	Image string
	// Revision is the snapshot's revision.
	Revision string
	// Tags is how many tags it has.
	Tags int
}

func infoOf(s scan.Snapshot) Info {
	return Info{Image: s.Image, Revision: s.Revision(), Tags: len(s.Tags)}
}

// Store keeps one snapshot per key, and facts of its images. It is safe for concurrent use. Every method
// that takes a context returns its error, having done nothing, when it is over
// at the call.
type Store interface {
	Reader
	FactStore

	// Put replaces the snapshot held for key. It is atomic, and durable when it
	// returns without an error. After an error what was held is still held,
	// or, where the error is that of the disk in the last step of a write, the
	// new snapshot is; a Put that then succeeds makes sure that it is durable.
	// A snapshot equal to the one held is not written again. The store does
	// not keep the slices it is given.
	Put(ctx context.Context, key Key, snapshot scan.Snapshot) error

	// Delete removes what is held for key, as Forget and Sweep do: the snapshot and
	// the facts. Nothing held is no error.
	Delete(ctx context.Context, key Key) error

	// Forget removes every snapshot held for an object's name except the one
	// of the UID keep; none is kept when keep is empty. It serves deletions
	// that were seen without the UID of what was deleted.
	Forget(ctx context.Context, name types.NamespacedName, keep types.UID) error

	// Sweep removes the snapshots of the keys for which keep returns false, in
	// one step, and returns how many it removed. It may call keep in any
	// order, and holds no lock meanwhile, so keep may use the store.
	Sweep(ctx context.Context, keep func(Key) bool) (int, error)

	// Keys returns the keys for which snapshots are held, in the order of
	// Key.Compare.
	Keys(ctx context.Context) ([]Key, error)

	// Close waits for calls in progress and frees what the store holds open.
	// Closing again does nothing.
	Close() error
}

// validate returns an error that wraps ErrInvalid or ErrTooLarge when the
// snapshot can't be stored.
func validate(s scan.Snapshot) error {
	if len(s.Tags) != len(s.FirstSeen) {
		return fmt.Errorf("%w: %d tags with %d times", ErrInvalid, len(s.Tags), len(s.FirstSeen))
	}
	if len(s.Tags) > MaxTags {
		return fmt.Errorf("%w: %d tags, at most %d are kept", ErrTooLarge, len(s.Tags), MaxTags)
	}
	size := len(s.Image)
	for i, tag := range s.Tags {
		if i > 0 && tag <= s.Tags[i-1] {
			return fmt.Errorf("%w: tag %q does not come after %q", ErrInvalid, tag, s.Tags[i-1])
		}
		size += len(tag)
	}
	if size > MaxTagBytes {
		return fmt.Errorf("%w: tags of %d bytes, at most %d are kept", ErrTooLarge, size, MaxTagBytes)
	}
	return nil
}

// doomed returns the keys for which keep returns false.
func doomed(keys []Key, keep func(Key) bool) []Key {
	var out []Key
	for _, key := range keys {
		if !keep(key) {
			out = append(out, key)
		}
	}
	return out
}
