// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// A payload is a snapshot as bytes, one sequence of bytes for every snapshot,
// so payloads are compared to tell whether anything changed:
//
//	image      its length as uvarint, its bytes
//	since      varint
//	tags       their number as uvarint, then the heads and the tails below
//	times      the distinct ones as dictionary, then runs of indices into it
//
// Tags are front coded: a tag is written as how many bytes it shares with the
// tag before it and the bytes that follow. The lengths of all tags (heads) come
// before the bytes of all (tails), since each part by itself compresses better
// than both mixed.
//
// A head is one byte with both lengths, four bits each. Fifteen stands for
// fifteen and more: then the rest follows as uvarint, that of the shared length
// first.

const headMax = 15

// errPayload is the only thing that a reader can do about a payload that no
// encoder made.
var errPayload = errors.New("malformed payload")

// encodePayload returns the payload of a snapshot that validate accepts.
func encodePayload(s scan.Snapshot) []byte {
	b := binary.AppendUvarint(nil, uint64(len(s.Image)))
	b = append(b, s.Image...)
	b = binary.AppendVarint(b, s.Since)
	b = appendTags(b, s.Tags)
	return appendTimes(b, s.FirstSeen)
}

// parsePayload is the reverse of encodePayload. Whatever the bytes are, it does
// not panic, and what it allocates is bounded by their number and MaxTagBytes.
// A snapshot that it returns keeps the promises of its type.
func parsePayload(payload []byte) (scan.Snapshot, error) {
	in := &input{rest: payload}
	image := string(in.take(in.uvarint()))
	since := in.varint()
	tags, ok := parseTags(in)
	if !ok {
		return scan.Snapshot{}, errPayload
	}
	times, ok := parseTimes(in, len(tags))
	if !ok || len(in.rest) > 0 {
		return scan.Snapshot{}, errPayload
	}
	return scan.Snapshot{Image: image, Tags: tags, FirstSeen: times, Since: since}, nil
}

func appendTags(b []byte, tags []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(tags)))
	previous, tails := "", 0
	for _, tag := range tags {
		shared := sharedPrefix(previous, tag)
		b = appendHead(b, shared, len(tag)-shared)
		previous, tails = tag, tails+len(tag)-shared
	}
	b = slices.Grow(b, tails)
	previous = ""
	for _, tag := range tags {
		b = append(b, tag[sharedPrefix(previous, tag):]...)
		previous = tag
	}
	return b
}

func appendHead(b []byte, shared, tail int) []byte {
	b = append(b, byte(min(shared, headMax)<<4|min(tail, headMax)))
	for _, length := range []int{shared, tail} {
		if length >= headMax {
			b = binary.AppendUvarint(b, uint64(length-headMax))
		}
	}
	return b
}

// sharedPrefix returns how many bytes a and b begin with in common.
func sharedPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// parseTags reads tags that are substrings of one string: one allocation
// serves all of them. It goes over the heads twice, first to learn how long
// that string is. It returns false where the tags are malformed.
func parseTags(in *input) ([]string, bool) {
	count := in.count()
	heads := *in
	total, tails, ok := measureHeads(in, count)
	if !ok {
		return nil, false
	}
	tail := input{rest: in.take(tails)}
	if in.failed {
		return nil, false
	}

	var text strings.Builder
	text.Grow(total)
	tags := make([]string, count)
	previous := ""
	for i := range tags {
		shared, rest := heads.head()
		start := text.Len()
		text.WriteString(previous[:shared])
		text.Write(tail.take(rest))
		tags[i] = text.String()[start:] // stays valid: the text never grows beyond total
		if i > 0 && tags[i] <= previous {
			return nil, false
		}
		previous = tags[i]
	}
	return tags, true
}

// measureHeads reads count heads and returns how many bytes their tags have,
// and how many of these are tails. It returns false when a tag shares more than
// the one before it has, or when the tags exceed MaxTagBytes.
func measureHeads(in *input, count int) (int, uint64, bool) {
	total, tails, previous := 0, uint64(0), uint64(0)
	for range count {
		shared, tail := in.head()
		if in.failed || shared > previous || tail > MaxTagBytes {
			return 0, 0, false
		}
		previous = shared + tail
		tails += tail
		total += int(previous)
		if total > MaxTagBytes {
			return 0, 0, false
		}
	}
	return total, tails, !in.failed
}

// head reads the two lengths that appendHead wrote: shared and tail.
func (in *input) head() (uint64, uint64) {
	packed := in.byte()
	shared, tail := uint64(packed>>4), uint64(packed&headMax)
	if shared == headMax {
		shared += in.uvarint()
	}
	if tail == headMax {
		tail += in.uvarint()
	}
	return shared, tail
}

// appendTimes writes the distinct times in ascending order (their number, the
// first as varint, the differences as uvarints) and then, for every run of
// equal times, the index in that list shifted left by one. The lowest bit tells
// that the run is longer than one and that its length follows. Tags released
// together are seldom neighbours in byte order, which is why the times
// themselves are not repeated.
func appendTimes(b []byte, times []int64) []byte {
	distinct := slices.Clone(times)
	slices.Sort(distinct)
	distinct = slices.Compact(distinct)

	b = binary.AppendUvarint(b, uint64(len(distinct)))
	for i, t := range distinct {
		if i == 0 {
			b = binary.AppendVarint(b, t)
		} else {
			b = binary.AppendUvarint(b, uint64(t)-uint64(distinct[i-1]))
		}
	}
	for start, end := 0, 0; start < len(times); start = end {
		for end = start; end < len(times) && times[end] == times[start]; end++ {
		}
		index, _ := slices.BinarySearch(distinct, times[start])
		b = appendRun(b, index, end-start)
	}
	return b
}

func appendRun(b []byte, index, length int) []byte {
	if length == 1 {
		return binary.AppendUvarint(b, uint64(index)<<1)
	}
	b = binary.AppendUvarint(b, uint64(index)<<1|1)
	return binary.AppendUvarint(b, uint64(length))
}

// parseTimes reads n times. It returns false where they are malformed.
func parseTimes(in *input, n int) ([]int64, bool) {
	distinct := make([]int64, in.count())
	for i := range distinct {
		if i == 0 {
			distinct[i] = in.varint()
		} else {
			distinct[i] = int64(uint64(distinct[i-1]) + in.uvarint())
		}
	}
	times := make([]int64, 0, n)
	for len(times) < n {
		run := in.uvarint()
		length := uint64(1)
		if run&1 == 1 {
			length = in.uvarint()
		}
		if in.failed || run>>1 >= uint64(len(distinct)) || length == 0 || length > uint64(n-len(times)) {
			return nil, false
		}
		for range length {
			times = append(times, distinct[run>>1])
		}
	}
	return times, !in.failed
}
