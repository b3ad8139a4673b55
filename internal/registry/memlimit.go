// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"io"

	"golang.org/x/sync/semaphore"
)

const (
	// largeRead is the number of bytes beyond which an operation counts as large.
	largeRead = 2 << 20
	// maxLarge bounds the concurrent large operations over all registries. Few lists are
	// that long, but all of them at once would exceed the memory limit of the process.
	maxLarge = 4
)

// readBudget counts the bytes that an operation reads. When the operation becomes large,
// it waits until fewer than maxLarge others are, or its context ends.
type readBudget struct {
	ctx      context.Context     //nolint:containedctx // of the operation, during which it is used
	large    *semaphore.Weighted // acquired by large operations
	read     int64
	acquired bool
}

// reader returns a reader that counts the bytes of a body.
func (b *readBudget) reader(body io.Reader) io.Reader {
	return io.TeeReader(body, b)
}

// Write implements io.Writer. It counts bytes, and waits if they make the operation large.
func (b *readBudget) Write(p []byte) (int, error) {
	b.read += int64(len(p))
	if b.acquired || b.read <= largeRead {
		return len(p), nil
	}
	if err := b.large.Acquire(b.ctx, 1); err != nil {
		return 0, err
	}
	b.acquired = true
	return len(p), nil
}

// release releases the semaphore.
func (b *readBudget) release() {
	if b.acquired {
		b.acquired = false
		b.large.Release(1)
	}
}
