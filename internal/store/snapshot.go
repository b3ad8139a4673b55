// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// The file of a snapshot has:
//
//	magic      a line with the version of the format
//	checksum   4 bytes, little endian: CRC-32C of the key and of all that follows
//	info       the hash of the tags, 32 bytes; their number as uvarint; the image,
//	           its length as uvarint and its bytes
//	payload    its length as uvarint, and then itself, as gzip
//
// The key is part of the checksum, so a file that came under the name of another object
// is noticed. The payload has:
//
//	since      varint
//	total      how many bytes all tags have, as uvarint
//	tags       of each tag, how many bytes it begins with in common with the tag before
//	           it, and how many follow, both as uvarint, and the bytes that follow
//	times      of each tag, the difference to the time of the tag before it, and to
//	           since for the first one, as varint
//
// A snapshot has one such file, so files are compared to find out whether it changed.

var (
	snapshotMagic = []byte("image tags 1\n")
	castagnoli    = crc32.MakeTable(crc32.Castagnoli)

	errPayload = damagedError("its tags are malformed")
)

const (
	// maxPayload is more than a snapshot that validate accepts can need: its bytes, and
	// per tag two lengths and a time.
	maxPayload = MaxTagBytes + 32*MaxTags

	// maxInflation is more than how many bytes one compressed byte can stand for.
	maxInflation = 1100
)

// validate returns an error that wraps ErrInvalid or ErrTooLarge when the snapshot can't
// be stored.
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

// keyChecksum is what the checksums of a key's files begin with.
func keyChecksum(key Key) uint32 {
	return crc32.Checksum([]byte(key.Namespace+"/"+key.Name+"/"+string(key.UID)), castagnoli)
}

// encodeSnapshot returns the content of the file of a snapshot that validate accepts.
func encodeSnapshot(key Key, s scan.Snapshot) []byte {
	payload := encodePayload(s)
	content := append(slices.Clone(snapshotMagic), make([]byte, crc32.Size)...)
	sum := s.Sum()
	content = append(content, sum[:]...)
	content = appendText(binary.AppendUvarint(content, uint64(len(s.Tags))), s.Image)
	content = pack(binary.AppendUvarint(content, uint64(len(payload))), payload)
	checksum, checked := content[len(snapshotMagic):], content[len(snapshotMagic)+crc32.Size:]
	binary.LittleEndian.PutUint32(checksum, crc32.Update(keyChecksum(key), castagnoli, checked))
	return content
}

// openSnapshot checks the content of a snapshot's file. It returns what that says of the
// snapshot, which it decodes if asked to. The errors wrap errDamaged.
func openSnapshot(key Key, content []byte, decode bool) (Info, scan.Snapshot, error) {
	rest, ok := bytes.CutPrefix(content, snapshotMagic)
	if !ok || len(rest) < crc32.Size {
		return Info{}, scan.Snapshot{}, damagedError("it has no tags, or in another format")
	}
	in := &reader{rest: rest[crc32.Size:]}
	if binary.LittleEndian.Uint32(rest) != crc32.Update(keyChecksum(key), castagnoli, in.rest) {
		return Info{}, scan.Snapshot{}, damagedError("it does not match its checksum")
	}
	var sum scan.Sum
	copy(sum[:], in.take(len(sum)))
	info := Info{Revision: sum.Revision(), Tags: in.bounded(MaxTags), Image: in.text(MaxTagBytes)}
	if in.failed {
		return Info{}, scan.Snapshot{}, errPayload
	}
	if !decode {
		return info, scan.Snapshot{}, nil
	}
	payload, err := unpack(in.rest)
	if err != nil {
		return Info{}, scan.Snapshot{}, err
	}
	snapshot, err := parsePayload(info, payload)
	return info, snapshot, err
}

func encodePayload(s scan.Snapshot) []byte {
	total := 0
	for _, tag := range s.Tags {
		total += len(tag)
	}
	b := binary.AppendVarint(make([]byte, 0, total/2+8*len(s.Tags)+32), s.Since)
	b = binary.AppendUvarint(b, uint64(total))
	previous := ""
	for _, tag := range s.Tags {
		shared := sharedPrefix(previous, tag)
		b = appendText(binary.AppendUvarint(b, uint64(shared)), tag[shared:])
		previous = tag
	}
	at := s.Since
	for _, seen := range s.FirstSeen {
		b = binary.AppendVarint(b, seen-at)
		at = seen
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

// parsePayload is the reverse of encodePayload. Whatever the bytes are, it does not
// panic, what it allocates is bounded by MaxTags and MaxTagBytes, and a snapshot that it
// returns keeps the promises of its type. The tags are substrings of one string: one
// allocation serves all of them.
func parsePayload(info Info, payload []byte) (scan.Snapshot, error) {
	in := &reader{rest: payload}
	s := scan.Snapshot{Image: info.Image, Since: in.varint()}
	total := in.bounded(MaxTagBytes)
	if in.failed || info.Tags > len(in.rest) {
		return scan.Snapshot{}, errPayload
	}
	s.Tags, s.FirstSeen = make([]string, info.Tags), make([]int64, info.Tags)
	if !in.tags(s.Tags, total) {
		return scan.Snapshot{}, errPayload
	}
	at := s.Since
	for i := range s.FirstSeen {
		at += in.varint()
		s.FirstSeen[i] = at
	}
	if in.failed || len(in.rest) > 0 {
		return scan.Snapshot{}, errPayload
	}
	return s, nil
}

// tags reads tags of some bytes in total. It returns false where they are malformed.
func (in *reader) tags(tags []string, total int) bool {
	var text strings.Builder
	text.Grow(total)
	previous := ""
	for i := range tags {
		shared, tail := in.bounded(len(previous)), in.take(in.bounded(total))
		start := text.Len()
		if in.failed || start+shared+len(tail) > total {
			return false
		}
		text.WriteString(previous[:shared])
		text.Write(tail)
		tags[i] = text.String()[start:] // stays valid: the text does not grow beyond total
		if i > 0 && tags[i] <= previous {
			return false
		}
		previous = tags[i]
	}
	return text.Len() == total
}

// Writers and readers are kept, since each has tables of some to several hundred kilobytes.
// Better compression takes longer and saves little: what tags share is gone already.
var (
	writers = sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // an error only for a level that does not exist
		return w
	}}
	readers = sync.Pool{New: func() any { return new(gzip.Reader) }}
)

// pack appends the payload, compressed.
func pack(b, payload []byte) []byte {
	packed := bytes.NewBuffer(b)
	w := writers.Get().(*gzip.Writer)
	defer writers.Put(w)
	w.Reset(packed)
	_, _ = w.Write(payload)
	_ = w.Close() // a buffer takes everything
	return packed.Bytes()
}

// unpack returns a payload. A size that can't be true is an error before anything is
// allocated for it.
func unpack(packed []byte) ([]byte, error) {
	in := &reader{rest: packed}
	size := in.bounded(maxPayload)
	if in.failed || size > maxInflation*len(in.rest) {
		return nil, errPayload
	}
	r := readers.Get().(*gzip.Reader)
	defer readers.Put(r)
	payload := make([]byte, size)
	err := r.Reset(bytes.NewReader(in.rest))
	if err == nil {
		_, err = io.ReadFull(r, payload)
	}
	if err != nil {
		return nil, damagedError("its tags can't be decompressed: %v", err)
	}
	return payload, nil
}
