// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// Lazy is a Store that is opened by its first use. A replica that waits to
// become the leader uses none, and so takes no file from the one that leads.
type Lazy struct {
	open func(context.Context) (Store, error)

	mu     sync.Mutex
	cancel context.CancelFunc // of what opens the store
	opened chan struct{}      // closed when the store was opened; nil before its first use
	closed bool

	// set before opened is closed
	store Store
	err   error // of opening, which is tried once
}

var _ Store = (*Lazy)(nil)

// NewLazy returns a store that calls open when it is used for the first time.
// Where that fails, every use returns the error. The context that open is called
// with ends when the store is closed.
func NewLazy(open func(context.Context) (Store, error)) *Lazy { return &Lazy{open: open} }

// use returns the store, opened. Who comes while it is being opened waits, but
// no longer than ctx: that may take as long as another process has the file.
func (l *Lazy) use(ctx context.Context) (Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	opened := l.begin(ctx)
	if opened == nil {
		return nil, ErrClosed
	}
	select {
	case <-opened:
		return l.store, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin has the store opened, if that was not begun before, and returns what
// is closed when it was. It returns nil where the store is closed.
func (l *Lazy) begin(ctx context.Context) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	if l.opened == nil {
		l.opened = make(chan struct{})
		ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx)) // it is opened for all who use it
		go func() {
			defer close(l.opened)
			l.store, l.err = l.open(ctx)
		}()
	}
	return l.opened
}

// Get implements Reader.
func (l *Lazy) Get(ctx context.Context, key Key) (scan.Snapshot, error) {
	store, err := l.use(ctx)
	if err != nil {
		return scan.Snapshot{}, err
	}
	return store.Get(ctx, key)
}

// Info implements Reader.
func (l *Lazy) Info(ctx context.Context, key Key) (Info, error) {
	store, err := l.use(ctx)
	if err != nil {
		return Info{}, err
	}
	return store.Info(ctx, key)
}

// Put implements Store.
func (l *Lazy) Put(ctx context.Context, key Key, snapshot scan.Snapshot) error {
	store, err := l.use(ctx)
	if err != nil {
		return err
	}
	return store.Put(ctx, key, snapshot)
}

// Delete implements Store.
func (l *Lazy) Delete(ctx context.Context, key Key) error {
	store, err := l.use(ctx)
	if err != nil {
		return err
	}
	return store.Delete(ctx, key)
}

// Forget implements Store.
func (l *Lazy) Forget(ctx context.Context, name types.NamespacedName, keep types.UID) error {
	store, err := l.use(ctx)
	if err != nil {
		return err
	}
	return store.Forget(ctx, name, keep)
}

// Sweep implements Store.
func (l *Lazy) Sweep(ctx context.Context, keep func(Key) bool) (int, error) {
	store, err := l.use(ctx)
	if err != nil {
		return 0, err
	}
	return store.Sweep(ctx, keep)
}

// Keys implements Store.
func (l *Lazy) Keys(ctx context.Context) ([]Key, error) {
	store, err := l.use(ctx)
	if err != nil {
		return nil, err
	}
	return store.Keys(ctx)
}

// Facts implements FactReader.
func (l *Lazy) Facts(ctx context.Context, key Key) (map[string]admission.Fact, error) {
	store, err := l.use(ctx)
	if err != nil {
		return nil, err
	}
	return store.Facts(ctx, key)
}

// Fact implements FactReader.
func (l *Lazy) Fact(ctx context.Context, key Key, tags ...string) (map[string]admission.Fact, error) {
	store, err := l.use(ctx)
	if err != nil {
		return nil, err
	}
	return store.Fact(ctx, key, tags...)
}

// PutFacts implements FactStore.
func (l *Lazy) PutFacts(ctx context.Context, key Key, facts map[string]admission.Fact) error {
	store, err := l.use(ctx)
	if err != nil {
		return err
	}
	return store.PutFacts(ctx, key, facts)
}

// Close implements Store. One that was never used is never opened.
func (l *Lazy) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.opened == nil {
		return nil
	}
	l.cancel()
	<-l.opened
	if l.err != nil {
		return nil
	}
	return l.store.Close()
}
