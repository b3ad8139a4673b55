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
	// maxLarge bounds the large operations at a time, over all registries: few lists
	// are that long, but all at once would exceed the memory limit of the process.
	maxLarge = 4
)

// readBudget counts the bytes that an operation reads. An operation that turns out to
// be large waits until fewer than maxLarge others are, or its context ends.
type readBudget struct {
	large *semaphore.Weighted // held by large operations
	read  int64
	holds bool
}

// reader returns a reader that counts the bytes of a body.
func (b *readBudget) reader(ctx context.Context, body io.Reader) io.Reader {
	return &countedReader{ctx: ctx, budget: b, body: body}
}

// add counts bytes, and waits if they make the operation a large one.
func (b *readBudget) add(ctx context.Context, n int) error {
	b.read += int64(n)
	if b.holds || b.read <= largeRead {
		return nil
	}
	if err := b.large.Acquire(ctx, 1); err != nil {
		return err
	}
	b.holds = true
	return nil
}

// release releases the semaphore.
func (b *readBudget) release() {
	if b.holds {
		b.holds = false
		b.large.Release(1)
	}
}

// countedReader counts the bytes of a body.
type countedReader struct {
	ctx    context.Context // of the request whose body it is
	budget *readBudget
	body   io.Reader
}

// Read implements io.Reader.
func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if budgetErr := r.budget.add(r.ctx, n); budgetErr != nil {
		return n, budgetErr
	}
	return n, err
}
