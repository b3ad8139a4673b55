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

// The file of a snapshot consists of:
//
//	magic      a line with the version of the format
//	checksum   4 bytes, little endian: CRC-32C of the key and everything that follows
//	info       the hash of the tags, 32 bytes; their number as uvarint; the image,
//	           its length as uvarint and its bytes
//	payload    its length as uvarint, followed by its gzip compression
//
// The checksum includes the key to detect files that were moved to another object. The payload
// consists of:
//
//	since      varint
//	total      the size of all tags in bytes, as uvarint
//	tags       for each tag, the length of the prefix that it shares with the previous
//	           tag and the length of the rest, both as uvarint, and the rest
//	times      for each tag, the difference to the time of the previous tag, or to
//	           since for the first one, as varint
//
// The encoding is deterministic, so that files can be compared to detect changes.

var (
	snapshotMagic = []byte("image tags 1\n")
	castagnoli    = crc32.MakeTable(crc32.Castagnoli)

	errPayload = damagedError("its tags are malformed")
)

const (
	// maxPayload exceeds the payload of any valid snapshot: its tags, and two lengths and a time
	// per tag.
	maxPayload = MaxTagBytes + 32*MaxTags

	// maxInflation exceeds the maximum ratio of decompressed to compressed size.
	maxInflation = 1100
)

// validate returns an error that wraps ErrInvalid or ErrTooLarge if the snapshot can't be stored.
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

// keyChecksum returns the initial value of the checksums in the files of a key.
func keyChecksum(key Key) uint32 {
	return crc32.Checksum([]byte(key.Namespace+"/"+key.Name+"/"+string(key.UID)), castagnoli)
}

// encodeSnapshot returns the content of the file for a valid snapshot.
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

// openSnapshot checks the content of a snapshot's file and returns its Info, and the snapshot if
// decode is set. The errors wrap errDamaged.
func openSnapshot(key Key, content []byte, decode bool) (Info, scan.Snapshot, error) {
	rest, ok := bytes.CutPrefix(content, snapshotMagic)
	if !ok || len(rest) < crc32.Size {
		return Info{}, scan.Snapshot{}, damagedError("it has no tags, or is in another format")
	}
	r := &reader{rest: rest[crc32.Size:]}
	if binary.LittleEndian.Uint32(rest) != crc32.Update(keyChecksum(key), castagnoli, r.rest) {
		return Info{}, scan.Snapshot{}, damagedError("it does not match its checksum")
	}
	var sum scan.Sum
	copy(sum[:], r.take(len(sum)))
	info := Info{Revision: sum.Revision(), Tags: r.bounded(MaxTags), Image: r.text(MaxTagBytes)}
	if r.failed {
		return Info{}, scan.Snapshot{}, errPayload
	}
	if !decode {
		return info, scan.Snapshot{}, nil
	}
	payload, err := unpack(r.rest)
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

// sharedPrefix returns the length of the common prefix of a and b.
func sharedPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// parsePayload is the inverse of encodePayload. For any input it does not panic, allocates memory
// bounded by MaxTags and MaxTagBytes, and returns only valid snapshots. The tags are substrings of
// one string to save allocations.
func parsePayload(info Info, payload []byte) (scan.Snapshot, error) {
	r := &reader{rest: payload}
	s := scan.Snapshot{Image: info.Image, Since: r.varint()}
	total := r.bounded(MaxTagBytes)
	if r.failed || info.Tags > len(r.rest) {
		return scan.Snapshot{}, errPayload
	}
	s.Tags, s.FirstSeen = make([]string, info.Tags), make([]int64, info.Tags)
	if !r.tags(s.Tags, total) {
		return scan.Snapshot{}, errPayload
	}
	at := s.Since
	for i := range s.FirstSeen {
		at += r.varint()
		s.FirstSeen[i] = at
	}
	if r.failed || len(r.rest) > 0 {
		return scan.Snapshot{}, errPayload
	}
	return s, nil
}

// tags reads tags with a total size in bytes. It returns false if they are malformed.
func (r *reader) tags(tags []string, total int) bool {
	var text strings.Builder
	text.Grow(total)
	previous := ""
	for i := range tags {
		shared, tail := r.bounded(len(previous)), r.take(r.bounded(total))
		start := text.Len()
		if r.failed || start+shared+len(tail) > total {
			return false
		}
		text.WriteString(previous[:shared])
		text.Write(tail)
		tags[i] = text.String()[start:] // remains valid because text does not grow beyond total
		if i > 0 && tags[i] <= previous {
			return false
		}
		previous = tags[i]
	}
	return text.Len() == total
}

// The pools save allocations of up to several hundred kilobytes per reader or writer. Better
// compression takes longer and saves little, because shared prefixes are already removed.
var (
	writers = sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // fails only for invalid levels
		return w
	}}
	readers = sync.Pool{New: func() any { return new(gzip.Reader) }}
)

// pack appends the compressed payload to b.
func pack(b, payload []byte) []byte {
	packed := bytes.NewBuffer(b)
	w := writers.Get().(*gzip.Writer)
	defer writers.Put(w)
	w.Reset(packed)
	_, _ = w.Write(payload)
	_ = w.Close() // writing to a buffer does not fail
	return packed.Bytes()
}

// unpack decompresses a payload. It rejects impossible sizes before allocating memory.
func unpack(packed []byte) ([]byte, error) {
	source := &reader{rest: packed}
	size := source.bounded(maxPayload)
	if source.failed || size > maxInflation*len(source.rest) {
		return nil, errPayload
	}
	r := readers.Get().(*gzip.Reader)
	defer readers.Put(r)
	payload := make([]byte, size)
	err := r.Reset(bytes.NewReader(source.rest))
	if err == nil {
		_, err = io.ReadFull(r, payload)
	}
	if err != nil {
		return nil, damagedError("its tags can't be decompressed: %v", err)
	}
	return payload, nil
}
