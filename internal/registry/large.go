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
)

const (
	// largeAnswer is from how many bytes on an operation counts as a large one.
	largeAnswer = 2 << 20
	// largeAtATime is how many large operations there are at a time, over all
	// registries: few have that much to say, and all at once would have the
	// process killed for the memory that it takes.
	largeAtATime = 4
)

// meter counts what an operation reads. One that turns out to be large waits
// until it may go on, for as long as its context allows.
type meter struct {
	large chan struct{} // holds the large operations
	taken int64
	holds bool
}

// of returns a body whose bytes are counted.
func (m *meter) of(ctx context.Context, body io.Reader) io.Reader {
	return &metered{ctx: ctx, meter: m, body: body}
}

// add counts bytes, and waits where they make the operation a large one.
func (m *meter) add(ctx context.Context, n int) error {
	m.taken += int64(n)
	if m.holds || m.taken <= largeAnswer {
		return nil
	}
	select {
	case m.large <- struct{}{}:
		m.holds = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end ends the operation.
func (m *meter) end() {
	if m.holds {
		m.holds = false
		<-m.large
	}
}

// metered is a body whose bytes are counted.
type metered struct {
	ctx   context.Context // of the request whose body it is
	meter *meter
	body  io.Reader
}

// Read implements io.Reader.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.body.Read(p)
	if waited := m.meter.add(m.ctx, n); waited != nil {
		return n, waited
	}
	return n, err
}
