// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// A record is what a file holds for a key:
//
//	version    1 byte
//	checksum   4 bytes, little endian: CRC-32C of the key's bytes, the version,
//	           and all that follows
//	info       the hash of the tags, 32 bytes; their number as uvarint; the image,
//	           its length as uvarint and its bytes
//	packing    1 byte: how the payload is packed
//	payload    stored as it is, or its length as uvarint and then deflated
//
// The key is part of the checksum, so a record that a damaged page shows under
// another key is noticed. Records of version 1 have no info. They are read, and
// are replaced as snapshots change. A new packing takes no new version.
const (
	recordVersion = 2
	recordNoInfo  = 1 // the version before
	recordHeader  = 1 + crc32.Size

	packingStored  = 0
	packingDeflate = 1

	// maxPayload is more than a snapshot that validate accepts can need: its
	// bytes, and per tag a head of 11, a time of 10 and a run of 4.
	maxPayload = MaxTagBytes + 32*MaxTags

	// maxInflation is more than how many bytes one deflated byte can stand for.
	maxInflation = 1100
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeRecord returns the record of a snapshot under the key whose bytes are
// name. payload is the snapshot's.
func encodeRecord(name []byte, s scan.Snapshot, payload []byte) ([]byte, error) {
	record := make([]byte, recordHeader, recordHeader+sha256.Size+len(s.Image)+16+len(payload)/4)
	record[0] = recordVersion
	sum := s.Sum()
	record = append(record, sum[:]...)
	record = binary.AppendUvarint(record, uint64(len(s.Tags)))
	record = binary.AppendUvarint(record, uint64(len(s.Image)))
	record = append(record, s.Image...)
	record, err := appendPacked(record, payload)
	if err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(record[1:], recordChecksum(name, record))
	return record, nil
}

// decodeRecord returns the snapshot in a record under the key whose bytes are
// name. Every error means that the record is damaged, or of a version that this
// program can't read.
func decodeRecord(name, record []byte) (scan.Snapshot, error) {
	payload, err := recordPayload(name, record)
	if err != nil {
		return scan.Snapshot{}, err
	}
	return parsePayload(payload)
}

// recordPayload checks a record and unpacks its payload, which may be part of
// the record's own memory.
func recordPayload(name, record []byte) ([]byte, error) {
	in, err := openRecord(name, record)
	if err != nil {
		return nil, err
	}
	if record[0] == recordVersion {
		parseInfo(in)
	}
	return unpack(in)
}

// recordInfo returns what a record under the key whose bytes are name says of
// its snapshot. The tags are only unpacked where there is no other way.
func recordInfo(name, record []byte) (Info, error) {
	in, err := openRecord(name, record)
	if err != nil {
		return Info{}, err
	}
	if record[0] == recordNoInfo {
		snapshot, err := decodeRecord(name, record)
		return infoOf(snapshot), err
	}
	info := parseInfo(in)
	if in.failed {
		return Info{}, errPayload
	}
	return info, nil
}

// recordImage returns the image that a record names. Nothing but the image is
// looked at, not even the checksum, unless there is no other way: it is to be
// compared with another one, which no damage will make it equal to.
func recordImage(name, record []byte) (string, bool) {
	if len(record) > recordHeader && record[0] == recordVersion {
		in := &input{rest: record[recordHeader:]}
		image := parseInfo(in).Image
		return image, !in.failed
	}
	info, err := recordInfo(name, record)
	return info.Image, err == nil
}

// sameTags reports whether two records say that they have the same tags. Where one
// does not say, it reports false.
func sameTags(a, b []byte) bool {
	const end = recordHeader + sha256.Size
	return len(a) >= end && len(b) >= end && a[0] == recordVersion && b[0] == recordVersion &&
		bytes.Equal(a[recordHeader:end], b[recordHeader:end])
}

// openRecord checks a record, and returns what follows its header.
func openRecord(name, record []byte) (*input, error) {
	if len(record) <= recordHeader {
		return nil, fmt.Errorf("record of %d bytes is cut short", len(record))
	}
	if record[0] != recordVersion && record[0] != recordNoInfo {
		return nil, fmt.Errorf("record has version %d, and only %d and %d are known", record[0], recordNoInfo, recordVersion)
	}
	if binary.LittleEndian.Uint32(record[1:]) != recordChecksum(name, record) {
		return nil, errors.New("record does not match its checksum")
	}
	return &input{rest: record[recordHeader:]}, nil
}

func parseInfo(in *input) Info {
	var sum scan.Sum
	copy(sum[:], in.take(uint64(len(sum))))
	tags := in.uvarint()
	return Info{Tags: int(tags), Revision: sum.Revision(), Image: string(in.take(in.uvarint()))}
}

func recordChecksum(name, record []byte) uint32 {
	sum := crc32.Update(0, castagnoli, name)
	sum = crc32.Update(sum, castagnoli, record[:1])
	return crc32.Update(sum, castagnoli, record[recordHeader:])
}

// deflaters are kept, since each has tables of several hundred kilobytes.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.DefaultCompression)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	return w
}}

// appendPacked appends the payload in the shorter of both packings.
func appendPacked(b, payload []byte) ([]byte, error) {
	packed := bytes.NewBuffer(append(b, packingDeflate))
	packed.Write(binary.AppendUvarint(nil, uint64(len(payload))))

	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(packed)
	if _, err := w.Write(payload); err != nil {
		return nil, fmt.Errorf("compressing tags: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing tags: %w", err)
	}
	if packed.Len() > len(b)+len(payload) {
		return append(append(b, packingStored), payload...), nil
	}
	return packed.Bytes(), nil
}

// inflaters are kept for their windows.
var inflaters = sync.Pool{New: func() any {
	return flate.NewReader(bytes.NewReader(nil))
}}

// unpack is the reverse of appendPacked.
func unpack(in *input) ([]byte, error) {
	switch packing := in.byte(); packing {
	case packingStored:
		return in.rest, nil
	case packingDeflate:
		return inflate(in.uvarint(), in.rest)
	default:
		return nil, fmt.Errorf("record has unknown packing %d", packing)
	}
}

// inflate returns the size bytes that deflated stands for. A size that can't be
// true is an error before anything is allocated for it.
func inflate(size uint64, deflated []byte) ([]byte, error) {
	if size > maxPayload || size > maxInflation*uint64(len(deflated)) {
		return nil, fmt.Errorf("%d bytes can't hold a payload of %d", len(deflated), size)
	}
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(deflated), nil); err != nil {
		return nil, fmt.Errorf("decompressing tags: %w", err)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, fmt.Errorf("decompressing tags: %w", err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return nil, errors.New("payload is longer than its record says")
	}
	return payload, nil
}
