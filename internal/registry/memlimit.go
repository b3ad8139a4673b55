/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

	http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package registry

import (
	"context"
	"io"

	"golang.org/x/sync/semaphore"
)

const (
	// largeRead is from how many bytes on an operation counts as a large one.
	largeRead = 2 << 20
	// maxLarge is how many large operations there are at a time, over all
	// registries: few lists are that long, and all at once would exceed the memory
	// that a process may use.
	maxLarge = 4
)

// readBudget counts the bytes that an operation reads. An operation that turns out
// to be large waits until it may go on, for as long as its context allows.
type readBudget struct {
	large *semaphore.Weighted // held by the large operations
	read  int64
	holds bool
}

// reader returns a body whose bytes are counted.
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

// release ends the operation.
func (b *readBudget) release() {
	if b.holds {
		b.holds = false
		b.large.Release(1)
	}
}

// countedReader is a body whose bytes are counted.
type countedReader struct {
	ctx    context.Context // of the request whose body it is
	budget *readBudget
	body   io.Reader
}

// Read implements io.Reader.
func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if waited := r.budget.add(r.ctx, n); waited != nil {
		return n, waited
	}
	return n, err
}
