// SPDX-License-Identifier: Apache-2.0

package store

import "encoding/binary"

// reader reads what an encoder wrote. A read beyond the end, or of a malformed
// number, sets failed and yields zero, as do all reads after it; so a decoder
// may check once, before it trusts anything that it read.
type reader struct {
	rest   []byte
	failed bool
}

// uvarint reads an unsigned number.
func (in *reader) uvarint() uint64 {
	value, n := binary.Uvarint(in.rest) // 0 where there is none
	in.skip(n)
	return value
}

// varint reads a signed number.
func (in *reader) varint() int64 {
	value, n := binary.Varint(in.rest)
	in.skip(n)
	return value
}

// skip moves past a number of n bytes. That is not positive where there was none.
func (in *reader) skip(n int) {
	if n <= 0 {
		in.fail()
		return
	}
	in.rest = in.rest[n:]
}

// bounded reads a number that is at most limit.
func (in *reader) bounded(limit int) int {
	n := in.uvarint()
	if n > uint64(limit) {
		in.fail()
		return 0
	}
	return int(n)
}

// take reads n bytes, which are part of the input and not copied.
func (in *reader) take(n int) []byte {
	if in.failed || n > len(in.rest) {
		in.fail()
		return nil
	}
	taken := in.rest[:n]
	in.rest = in.rest[n:]
	return taken
}

// text reads what appendText wrote, of at most limit bytes.
func (in *reader) text(limit int) string { return string(in.take(in.bounded(limit))) }

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func (in *reader) fail() {
	in.rest, in.failed = nil, true
}
