// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"slices"
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
	// maxIndexed is the number of facts and of marks of missing tags in all indexes, each of which
	// takes about 60 bytes. Above, the index that was not used for the longest time is dropped.
	maxIndexed = 256 << 10
	// maxRecordFacts is the number of facts in each record of a rewritten log: to read one fact is
	// to read a record. More facts than maxAppended are not appended as one record.
	maxRecordFacts = 16
	maxAppended    = 256
)

// location is the place of a record in a file.
type location struct{ offset, length uint32 }

// addToIndex records that the facts of changes are in the record at an offset, unless the log has no
// index. A log with a large record, as older versions wrote it, or with too many facts gets none.
func (l *factLog) addToIndex(ch changes, offset, length int) {
	if l.records == nil {
		return
	}
	for tag := range ch.Facts {
		l.records[tag] = location{uint32(offset), uint32(length)}
	}
	for _, tag := range ch.Removed {
		delete(l.records, tag)
	}
	if !l.partial && (len(ch.Facts) > maxAppended || len(l.records) > maxIndexed) {
		l.records = nil
	}
}

// withoutFacts returns a partial log without facts that shares the index of l.
func (l *factLog) withoutFacts() *factLog {
	return &factLog{image: l.image, missing: l.missing, size: l.size, records: l.records, partial: true}
}

// entries returns how many entries the index of the log has.
func (l *factLog) entries() int { return len(l.records) + len(l.missing) }

// factIndexes holds the indexes of the logs that were used last. They are not modified while they
// are in it.
type factIndexes struct {
	mu      sync.Mutex
	indexes *simplelru.LRU[Key, *factLog]
	entries int // of all indexes
}

func newFactIndexes() *factIndexes {
	i := &factIndexes{}
	i.indexes, _ = simplelru.NewLRU(maxIndexed, func(_ Key, index *factLog) { i.entries -= index.entries() }) // fails only for sizes below 1
	return i
}

// get returns the index of a key, or nil. The caller has locked the files of the key.
func (i *factIndexes) get(key Key) *factLog {
	i.mu.Lock()
	defer i.mu.Unlock()
	index, _ := i.indexes.Get(key)
	return index
}

// put replaces the index of a key by that of a log with records, unless it has too many entries.
func (i *factIndexes) put(key Key, log *factLog) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.indexes.Remove(key)
	if log.entries() > maxIndexed {
		return
	}
	i.indexes.Add(key, log.withoutFacts())
	for i.entries += log.entries(); i.entries > maxIndexed; {
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
	log := index.withoutFacts()
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
	defer func() { _ = file.Close() }()
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

// encodeLog returns the content of a file with all facts of a log, and indexes them unless the
// content is smaller than minIndexed bytes. The marks of missing tags are a record of their own, which
// lookups need not read.
func encodeLog(key Key, log *factLog, minIndexed int) ([]byte, error) {
	content := slices.Clone(factsMagic)
	log.size, log.records = 0, map[string]location{}
	var failed error
	add := func(ch changes) {
		record, err := encodeRecord(key, ch)
		failed = cmp.Or(failed, err)
		log.size += ch.size()
		log.addToIndex(ch, len(content), len(record))
		content = append(content, record...)
	}
	batch := changes{Image: log.image, Facts: map[string]admission.ImageInfo{}}
	for tag, fact := range log.facts {
		if len(batch.Facts) == maxRecordFacts {
			add(batch)
			batch.Image = ""
			clear(batch.Facts)
		}
		batch.Facts[tag] = fact
	}
	add(batch)
	if len(log.missing) > 0 {
		add(changes{Missing: log.missing})
	}
	if len(content) < minIndexed {
		log.records = nil
	}
	return content, failed
}
