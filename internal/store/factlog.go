// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/candidate"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// The file of facts is a log: a line with the version of the format, and records, each
// with
//
//	length     of the changes, 4 bytes, little endian
//	checksums  of key and length, and of key and changes: 4 bytes each, little endian,
//	           CRC-32C
//	changes    one after another
//
// A change begins with a byte that says what it is:
//
//	i image          what follows is about the image; only the first one
//	f tag fact       the fact of a tag, its length as uvarint and its bytes (see factcodec.go)
//	g tag time       since when a tag is gone that has a fact, as varint
//	b tag            it is back
//	x tag            its fact was removed
//
// What one call changes is one record, so it is there wholly or not at all: the last
// record may be cut, as a process that was killed leaves it, and then counts as not
// written.
var factsMagic = []byte("image facts 1\n")

const (
	recordHeader = 12

	changeImage   = 'i'
	changeFact    = 'f'
	changeGone    = 'g'
	changeBack    = 'b'
	changeRemoved = 'x'
)

// factLog is what the file of an object's facts holds.
type factLog struct {
	image   string
	facts   map[string][]byte // as appendFact makes them
	gone    map[string]int64  // since when tags with facts are gone, in seconds since the epoch
	changes int               // how many the file has
}

func newFactLog(image string) *factLog {
	return &factLog{image: image, facts: map[string][]byte{}, gone: map[string]int64{}}
}

// parse reads the content of a file. The error wraps errDamaged; what comes before the
// damage was read.
func (l *factLog) parse(key Key, content []byte) error {
	rest, ok := bytes.CutPrefix(content, factsMagic)
	if !ok {
		return damaged("it has no facts, or in another format")
	}
	seed := keyChecksum(key)
	for len(rest) >= recordHeader {
		length := binary.LittleEndian.Uint32(rest)
		if binary.LittleEndian.Uint32(rest[4:]) != crc32.Update(seed, castagnoli, rest[:4]) {
			return damaged("a length does not match its checksum")
		}
		sum := binary.LittleEndian.Uint32(rest[8:])
		if rest = rest[recordHeader:]; int64(length) > int64(len(rest)) {
			return nil // it was not finished
		}
		if sum != crc32.Update(seed, castagnoli, rest[:length]) {
			return damaged("facts do not match their checksum")
		}
		if !l.apply(&input{rest: rest[:length]}) {
			return damaged("its facts are malformed")
		}
		rest = rest[length:]
	}
	return nil
}

// frame returns changes as a record.
func frame(key Key, changes []byte) []byte {
	seed := keyChecksum(key)
	record := make([]byte, recordHeader, recordHeader+len(changes))
	binary.LittleEndian.PutUint32(record, uint32(len(changes)))
	binary.LittleEndian.PutUint32(record[4:], crc32.Update(seed, castagnoli, record[:4]))
	binary.LittleEndian.PutUint32(record[8:], crc32.Update(seed, castagnoli, changes))
	return append(record, changes...)
}

// decode returns the facts. One that is malformed though its checksum fits is none.
func (l *factLog) decode() map[string]candidate.Fact {
	facts := make(map[string]candidate.Fact, len(l.facts))
	for tag, encoded := range l.facts {
		in := &input{rest: encoded}
		if fact := in.fact(); !in.failed && len(in.rest) == 0 {
			facts[tag] = fact
		}
	}
	return facts
}

// apply makes changes. It returns false where they are malformed.
func (l *factLog) apply(in *input) bool {
	for len(in.rest) > 0 {
		change, text := in.byte(), ""
		if change == changeImage {
			l.image = in.text(MaxTagBytes)
		} else {
			text = in.text(MaxFactText)
		}
		switch change {
		case changeImage:
		case changeFact:
			l.facts[text] = in.take(in.bounded(len(in.rest)))
		case changeGone:
			l.gone[text] = in.varint()
		case changeBack:
			delete(l.gone, text)
		case changeRemoved:
			delete(l.gone, text)
			delete(l.facts, text)
		default:
			in.fail()
		}
		l.changes++
	}
	return !in.failed
}

// long reports whether less than half of the file is of use.
func (l *factLog) long() bool { return l.changes > 2*(1+len(l.facts)+len(l.gone))+64 }

// encode returns the content of a file with no more than what is held.
func (l *factLog) encode(key Key) []byte {
	changes := appendText([]byte{changeImage}, l.image)
	for _, tag := range slices.Sorted(maps.Keys(l.facts)) {
		changes = appendText(appendChange(changes, changeFact, tag), l.facts[tag])
	}
	for _, tag := range slices.Sorted(maps.Keys(l.gone)) {
		changes = binary.AppendVarint(appendChange(changes, changeGone, tag), l.gone[tag])
	}
	return append(slices.Clone(factsMagic), frame(key, changes)...)
}

func appendChange(changes []byte, change byte, tag string) []byte {
	return appendText(append(changes, change), tag)
}

// learn returns the changes that have the log hold facts: those that it does not hold
// yet. The facts of tags that are gone make room where there would be too many.
func (l *factLog) learn(facts map[string]candidate.Fact, limit int) ([]byte, error) {
	var changes []byte
	count := len(l.facts)
	for _, tag := range slices.Sorted(maps.Keys(facts)) {
		known, held := l.facts[tag]
		if !held {
			count++
		}
		if fact := appendFact(nil, facts[tag]); !held || !bytes.Equal(known, fact) {
			changes = appendText(appendChange(changes, changeFact, tag), fact)
		}
	}
	if count <= limit {
		return changes, nil
	}
	for _, tag := range slices.Sorted(maps.Keys(l.gone)) {
		if _, learned := facts[tag]; !learned {
			changes = appendChange(changes, changeRemoved, tag)
			count--
		}
	}
	if count > limit {
		return nil, fmt.Errorf("%w: facts of %d tags, at most %d are kept", ErrTooLarge, count, limit)
	}
	return changes, nil
}

// follow returns the changes for a snapshot with other tags: which have gone at a time
// and which came back, and the facts of which are removed.
func (l *factLog) follow(next scan.Snapshot, now int64) []byte {
	var changes []byte
	for _, tag := range slices.Sorted(maps.Keys(l.facts)) {
		since, missed := l.gone[tag]
		switch {
		case next.Has(tag):
			if missed {
				changes = appendChange(changes, changeBack, tag)
			}
		case !missed || since > now: // a time to come is of a clock that was wrong
			changes = binary.AppendVarint(appendChange(changes, changeGone, tag), now)
		case now-since > int64(FactGrace/time.Second):
			changes = appendChange(changes, changeRemoved, tag)
		}
	}
	return changes
}
