// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// A large log is read once. Then an index in memory has, for each tag, the location of the record
// with its facts, so that a few facts are read and added without reading the log again.

const (
	// minIndexed is the size in bytes of the smallest log with an index. A smaller one is read in a
	// millisecond, and most repositories have one.
	minIndexed = 64 << 10
	// maxIndexed is the number of facts in all indexes, each of which takes about 60 bytes. Above,
	// the index that was not used for the longest time is dropped.
	maxIndexed = 256 << 10
	// maxRecordFacts is the number of facts in each record of a rewritten log: to read one fact is
	// to read a record. More facts than maxAppended are not appended as one record.
	maxRecordFacts = 16
	maxAppended    = 256
)

// location is the place of a record in a file.
type location struct{ offset, length uint32 }

// locate stores that the facts of changes are in the record of a length at an offset, unless the log
// has no index.
func (l *factLog) locate(ch changes, offset, length int) {
	l.coarse = l.coarse || len(ch.Facts) > maxAppended
	if l.records == nil {
		return
	}
	for tag := range ch.Facts {
		l.records[strings.Clone(tag)] = location{uint32(offset), uint32(length)} // a snapshot's tags share memory
	}
	for _, tag := range ch.Removed {
		delete(l.records, tag)
	}
}

// index returns a partial log without facts that shares the index of l.
func (l *factLog) index() *factLog {
	return &factLog{image: l.image, missing: l.missing, size: l.size, records: l.records, partial: true}
}

// factIndexes holds the indexes of the logs that were used last.
type factIndexes struct {
	mu      sync.Mutex
	indexes *simplelru.LRU[Key, weightedIndex]
	facts   int // in all indexes
}

// weightedIndex is an index and the number of its facts when it was stored.
type weightedIndex struct {
	*factLog
	weight int
}

func newFactIndexes() *factIndexes {
	i := &factIndexes{}
	i.indexes, _ = simplelru.NewLRU(maxIndexed, func(_ Key, index weightedIndex) { i.facts -= index.weight }) // fails only for sizes below 1
	return i
}

// get returns the index of a key, or nil. The caller has locked the files of the key.
func (i *factIndexes) get(key Key) *factLog {
	i.mu.Lock()
	defer i.mu.Unlock()
	index, _ := i.indexes.Get(key)
	return index.factLog
}

// put stores the index of a log with records.
func (i *factIndexes) put(key Key, log *factLog) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.indexes.Remove(key)
	i.indexes.Add(key, weightedIndex{log.index(), len(log.records)})
	for i.facts += len(log.records); i.facts > maxIndexed; {
		i.indexes.RemoveOldest()
	}
}

func (i *factIndexes) drop(key Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.indexes.Remove(key)
}

// indexedFacts returns a partial log with the facts of the given tags, or nil if the log has no
// index or is no longer the indexed one.
func (f *objectFiles) indexedFacts(tags ...string) *factLog {
	index := f.indexes.get(f.key)
	if index == nil {
		return nil
	}
	log := index.index()
	facts, err := f.readRecords(log.records, tags)
	if err != nil {
		f.indexes.drop(f.key)
		return nil
	}
	log.facts = facts
	return log
}

var errIndex = errors.New("the index of facts is out of date")

// readRecords returns the facts of tags from the records that have them. After an error, the
// file must be read completely.
func (f *objectFiles) readRecords(records map[string]location, tags []string) (map[string]admission.ImageInfo, error) {
	file, err := os.Open(f.path + factsSuffix)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Size() != f.state.factBytes.Load() {
		return nil, errIndex
	}
	magic := make([]byte, len(factsMagic))
	if _, err := file.ReadAt(magic, 0); err != nil || !bytes.Equal(magic, factsMagic) {
		return nil, errIndex
	}
	facts := map[string]admission.ImageInfo{}
	for _, tag := range tags {
		at, found := records[tag]
		if !found {
			continue
		}
		ch, err := f.readRecord(file, at)
		if facts[tag], found = ch.Facts[tag]; err != nil || !found {
			return nil, errIndex
		}
	}
	return facts, nil
}

func (f *objectFiles) readRecord(file *os.File, at location) (changes, error) {
	content := make([]byte, at.length)
	if _, err := file.ReadAt(content, int64(at.offset)); err != nil {
		return changes{}, err
	}
	ch, _, err := decodeRecord(keyChecksum(f.key), content)
	return ch, err
}

// encodeLog returns the content of a file with all facts of a log, and sets their locations unless
// it is smaller than minIndexed bytes.
func encodeLog(key Key, log *factLog, minIndexed int) ([]byte, error) {
	content := slices.Clone(factsMagic)
	log.coarse, log.records = false, map[string]location{}
	rest := changes{Image: log.image, Facts: map[string]admission.ImageInfo{}}
	write := func() error {
		record, err := encodeRecord(key, rest)
		log.locate(rest, len(content), len(record))
		content = append(content, record...)
		rest = changes{Facts: map[string]admission.ImageInfo{}}
		return err
	}
	for tag, fact := range log.facts {
		if len(rest.Facts) == maxRecordFacts {
			if err := write(); err != nil {
				return nil, err
			}
		}
		rest.Facts[tag] = fact
	}
	rest.Missing = log.missing
	err := write()
	if len(content) < minIndexed {
		log.records = nil
	}
	return content, err
}
