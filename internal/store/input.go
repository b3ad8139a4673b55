// SPDX-License-Identifier: Apache-2.0

package store

import "encoding/binary"

// reader decodes encoded data. A read beyond the end or of a malformed number sets failed; it and
// all later reads return zero, so that a decoder needs only one check before it uses the results.
type reader struct {
	rest   []byte
	failed bool
}

// uvarint reads an unsigned number.
func (r *reader) uvarint() uint64 {
	value, n := binary.Uvarint(r.rest) // 0 on failure
	r.skip(n)
	return value
}

// varint reads a signed number.
func (r *reader) varint() int64 {
	value, n := binary.Varint(r.rest)
	r.skip(n)
	return value
}

// skip skips a number of n bytes. If decoding it failed, n is not positive.
func (r *reader) skip(n int) {
	if n <= 0 {
		r.fail()
		return
	}
	r.rest = r.rest[n:]
}

// bounded reads a number that is at most limit.
func (r *reader) bounded(limit int) int {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail()
		return 0
	}
	return int(n)
}

// take returns the next n bytes of the input without copying them.
func (r *reader) take(n int) []byte {
	if r.failed || n > len(r.rest) {
		r.fail()
		return nil
	}
	next := r.rest[:n]
	r.rest = r.rest[n:]
	return next
}

// text reads a text of at most limit bytes that appendText wrote.
func (r *reader) text(limit int) string { return string(r.take(r.bounded(limit))) }

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func (r *reader) fail() {
	r.rest, r.failed = nil, true
}
