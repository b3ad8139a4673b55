// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// The file of facts is a log: a line with the version of the format, and records, each
// with
//
//	length     of the changes, 4 bytes, little endian
//	checksums  of key and length, and of key and changes: 4 bytes each, little endian,
//	           CRC-32C
//	changes    as CBOR
//
// What one call changes is one record, so it is there wholly or not at all: the last
// record may be cut, as a process that was killed leaves it, and then counts as not
// written.
var factsMagic = []byte("image facts 1\n")

const recordHeader = 12

// changes is the content of a record.
type changes struct {
	Image   string                         `cbor:"1,keyasint,omitempty"` // that all is about; only in the first record
	Facts   map[string]admission.ImageInfo `cbor:"2,keyasint,omitempty"`
	Gone    map[string]int64               `cbor:"3,keyasint,omitempty"` // since when tags with facts are gone, or 0 for those that are back
	Removed []string                       `cbor:"4,keyasint,omitempty"` // tags whose facts are not kept any more
}

// decoding takes texts for what they are in Go, any bytes, and as many facts as there may be.
var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid, MaxMapPairs: math.MaxInt32, MaxArrayElements: math.MaxInt32}.DecMode()
	if err != nil {
		panic(err) // only for options that do not exist
	}
	return mode
}()

// factLog is what the file of an object's facts holds.
type factLog struct {
	image string
	facts map[string]admission.ImageInfo
	gone  map[string]int64 // since when tags with facts are gone, in seconds since the epoch
	size  int              // how many facts and tags all changes had
}

func newFactLog(image string) *factLog {
	return &factLog{image: image, facts: map[string]admission.ImageInfo{}, gone: map[string]int64{}}
}

// parse reads the content of a file. The error wraps errDamaged; what comes before the
// damage was read.
func (l *factLog) parse(key Key, content []byte) error {
	rest, ok := bytes.CutPrefix(content, factsMagic)
	if !ok {
		return damagedError("it has no facts, or in another format")
	}
	seed := keyChecksum(key)
	for len(rest) >= recordHeader {
		length := binary.LittleEndian.Uint32(rest)
		if binary.LittleEndian.Uint32(rest[4:]) != crc32.Update(seed, castagnoli, rest[:4]) {
			return damagedError("a length does not match its checksum")
		}
		sum := binary.LittleEndian.Uint32(rest[8:])
		if rest = rest[recordHeader:]; int64(length) > int64(len(rest)) {
			return nil // it was not finished
		}
		if sum != crc32.Update(seed, castagnoli, rest[:length]) {
			return damagedError("facts do not match their checksum")
		}
		var c changes
		if err := decoding.Unmarshal(rest[:length], &c); err != nil {
			return damagedError("its facts are malformed: %v", err)
		}
		l.apply(c)
		rest = rest[length:]
	}
	return nil
}

// encodeRecord returns changes as a record.
func encodeRecord(key Key, c changes) ([]byte, error) {
	content, err := cbor.Marshal(c)
	if err != nil {
		return nil, err
	}
	seed := keyChecksum(key)
	record := make([]byte, recordHeader, recordHeader+len(content))
	binary.LittleEndian.PutUint32(record, uint32(len(content)))
	binary.LittleEndian.PutUint32(record[4:], crc32.Update(seed, castagnoli, record[:4]))
	binary.LittleEndian.PutUint32(record[8:], crc32.Update(seed, castagnoli, content))
	return append(record, content...), nil
}

func (c changes) size() int { return len(c.Facts) + len(c.Gone) + len(c.Removed) }

// apply makes changes to what is held, but for facts that can't be stored.
func (l *factLog) apply(c changes) {
	maps.DeleteFunc(c.Facts, func(tag string, fact admission.ImageInfo) bool { return problemOf(tag, fact) != "" })
	l.image = cmp.Or(c.Image, l.image)
	l.size += c.size()
	maps.Copy(l.facts, c.Facts)
	maps.Copy(l.gone, c.Gone)
	maps.DeleteFunc(l.gone, func(_ string, since int64) bool { return since == 0 })
	for _, tag := range c.Removed {
		delete(l.facts, tag)
		delete(l.gone, tag)
	}
}

// isWasteful reports whether less than half of the file is of use.
func (l *factLog) isWasteful() bool { return l.size > 2*(len(l.facts)+len(l.gone))+64 }

// merge returns the changes that have the log hold facts: those that it does not hold
// yet. The facts of tags that are gone make room where there would be too many.
func (l *factLog) merge(facts map[string]admission.ImageInfo, limit int) (changes, error) {
	c := changes{Facts: map[string]admission.ImageInfo{}}
	count := len(l.facts)
	for tag, fact := range facts {
		known, held := l.facts[tag]
		if !held {
			count++
		}
		if !held || !equality.Semantic.DeepEqual(known, fact) { // no platforms are the same as none
			c.Facts[tag] = fact
		}
	}
	if count <= limit {
		return c, nil
	}
	for tag := range l.gone {
		if _, learned := facts[tag]; !learned {
			c.Removed = append(c.Removed, tag)
		}
	}
	if count -= len(c.Removed); count > limit {
		return c, fmt.Errorf("%w: facts of %d tags, at most %d are kept", ErrTooLarge, count, limit)
	}
	return c, nil
}

// markGone returns the changes for a snapshot with other tags: which have gone at a time
// and which came back, and the facts of which are removed.
func (l *factLog) markGone(next scan.Snapshot, now int64) changes {
	c := changes{Gone: map[string]int64{}}
	for tag := range l.facts {
		since, missed := l.gone[tag]
		switch {
		case next.Has(tag):
			if missed {
				c.Gone[tag] = 0
			}
		case !missed || since > now: // a time to come is of a clock that was wrong
			c.Gone[tag] = now
		case now-since > int64(FactGrace/time.Second):
			c.Removed = append(c.Removed, tag)
		}
	}
	return c
}
