// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// The file of facts is a log. It starts with a line with the version of the format, followed by
// records with
//
//	length     of the changes, 4 bytes, little endian
//	checksums  of key and length, and of key and changes: 4 bytes each, little endian,
//	           CRC-32C
//	changes    as CBOR
//
// The changes of one call are one record, so they are applied completely or not at all: the last
// record may be incomplete after a process was killed, and is then ignored.
var factsMagic = []byte("image facts 1\n")

const recordHeader = 12

// changes is the content of a record.
type changes struct {
	Image   string                         `cbor:"1,keyasint,omitempty"` // image of all facts, only in the first record
	Facts   map[string]admission.ImageInfo `cbor:"2,keyasint,omitempty"`
	Missing map[string]int64               `cbor:"3,keyasint,omitempty"` // since when tags with facts are missing, 0 if they are back
	Removed []string                       `cbor:"4,keyasint,omitempty"` // tags whose facts are removed
}

// decMode accepts any bytes in strings, like Go does, and any number of facts.
var decMode = func() cbor.DecMode {
	mode, err := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid, MaxMapPairs: math.MaxInt32, MaxArrayElements: math.MaxInt32}.DecMode()
	if err != nil {
		panic(err) // only for invalid options
	}
	return mode
}()

// factLog is the content of a file of facts.
type factLog struct {
	image   string
	facts   map[string]admission.ImageInfo
	missing map[string]int64 // since when tags with facts are missing, in seconds since the epoch
	size    int              // number of facts and tags in all records of the file

	records map[string]location // of the facts by tag, nil for a small file: see factindex.go
	partial bool                // facts has only some of the facts
}

func newFactLog(image string) *factLog {
	return &factLog{image: image, facts: map[string]admission.ImageInfo{}, missing: map[string]int64{}}
}

// parse reads the content of a file. If the error wraps errDamaged, the records before the damage
// were read.
func (l *factLog) parse(key Key, content []byte) error {
	rest, ok := bytes.CutPrefix(content, factsMagic)
	if !ok {
		return damagedError("it has no facts, or is in another format")
	}
	seed := keyChecksum(key)
	for len(rest) > 0 {
		ch, length, err := decodeRecord(seed, rest)
		if err != nil || length == 0 {
			return err
		}
		l.apply(ch)
		l.addToIndex(ch, len(content)-len(rest), length)
		rest = rest[length:]
	}
	return nil
}

// decodeRecord returns the changes of the first record of content and its length, which is zero if
// the record is incomplete. The error wraps errDamaged.
func decodeRecord(seed uint32, content []byte) (changes, int, error) {
	var ch changes
	if len(content) < recordHeader {
		return ch, 0, nil
	}
	length := binary.LittleEndian.Uint32(content)
	if binary.LittleEndian.Uint32(content[4:]) != crc32.Update(seed, castagnoli, content[:4]) {
		return ch, 0, damagedError("a length does not match its checksum")
	}
	body := content[recordHeader:]
	if int64(length) > int64(len(body)) {
		return ch, 0, nil
	}
	body = body[:length]
	if binary.LittleEndian.Uint32(content[8:]) != crc32.Update(seed, castagnoli, body) {
		return ch, 0, damagedError("facts do not match their checksum")
	}
	if err := decMode.Unmarshal(body, &ch); err != nil {
		return ch, 0, damagedError("its facts are malformed: %v", err)
	}
	return ch, recordHeader + len(body), nil
}

// encodeRecord returns changes as a record.
func encodeRecord(key Key, ch changes) ([]byte, error) {
	content, err := cbor.Marshal(ch)
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

func (ch changes) size() int { return len(ch.Facts) + len(ch.Missing) + len(ch.Removed) }

// apply applies changes, ignoring facts that can't be stored.
func (l *factLog) apply(ch changes) {
	maps.DeleteFunc(ch.Facts, func(tag string, fact admission.ImageInfo) bool { return problemOf(tag, fact) != "" })
	l.image = cmp.Or(ch.Image, l.image)
	l.size += ch.size()
	if !l.partial {
		maps.Copy(l.facts, ch.Facts)
	}
	maps.Copy(l.missing, ch.Missing)
	maps.DeleteFunc(l.missing, func(_ string, since int64) bool { return since == 0 })
	for _, tag := range ch.Removed {
		delete(l.facts, tag)
		delete(l.missing, tag)
	}
}

// isWasteful reports whether less than half of the file is in use.
func (l *factLog) isWasteful() bool { return l.size > 2*(l.count()+len(l.missing))+64 }

// count returns the number of facts.
func (l *factLog) count() int {
	if l.partial {
		return len(l.records)
	}
	return len(l.facts)
}

// tags returns the tags with facts.
func (l *factLog) tags() iter.Seq[string] {
	if l.partial {
		return maps.Keys(l.records)
	}
	return maps.Keys(l.facts)
}

// merge returns the changes that add facts to the log, without those that it already has. If there
// would be too many, the facts of missing tags are removed. A partial log must have the facts of
// the same tags.
func (l *factLog) merge(facts map[string]admission.ImageInfo, limit int) (changes, error) {
	ch := changes{Facts: map[string]admission.ImageInfo{}}
	count := l.count()
	for tag, fact := range facts {
		stored, found := l.facts[tag]
		if !found {
			count++
		}
		if !found || !equality.Semantic.DeepEqual(stored, fact) { // nil and empty platforms are equal
			ch.Facts[strings.Clone(tag)] = fact // the tags of a snapshot share memory
		}
	}
	if count <= limit {
		return ch, nil
	}
	for tag := range l.missing {
		if _, updated := facts[tag]; !updated {
			ch.Removed = append(ch.Removed, tag)
		}
	}
	if count -= len(ch.Removed); count > limit {
		return ch, fmt.Errorf("%w: facts of %d tags, at most %d are kept", ErrTooLarge, count, limit)
	}
	return ch, nil
}

// markMissing returns the changes for a snapshot with other tags: which tags went missing at a time
// or came back, and which facts are removed after FactGrace.
func (l *factLog) markMissing(next scan.Snapshot, now int64) changes {
	ch := changes{Missing: map[string]int64{}}
	for tag := range l.tags() {
		since, marked := l.missing[tag]
		switch {
		case next.Has(tag):
			if marked {
				ch.Missing[tag] = 0
			}
		case !marked || since > now: // a time in the future is from a wrong clock
			ch.Missing[tag] = now
		case now-since > int64(FactGrace/time.Second):
			ch.Removed = append(ch.Removed, tag)
		}
	}
	return ch
}
