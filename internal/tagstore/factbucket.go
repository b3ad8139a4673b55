// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math"
	"slices"

	bolt "go.etcd.io/bbolt"
)

// Facts have a bucket that is made with the first of them. In it, each object has
// one under its name, whose keys begin with what their entries are:
//
//	0        the head: the image that all this is about, how many facts there are,
//	         and how many bytes these entries have, for the account of the file
//	1, tag   the fact of a tag
//	2, tag   since when the tag is gone, of which there still is a fact
//
// A program that knows no facts leaves all this as it is when it removes a record
// or changes its image. So facts count only while there is a record, and of the
// image that the head says.
var factsBucket = []byte("facts")

const (
	headEntry byte = iota
	factEntry
	goneEntry
)

func entryKey(kind byte, tag string) []byte { return append([]byte{kind}, tag...) }

// heldFacts are the facts of one object in a transaction.
type heldFacts struct {
	sealer
	bucket *bolt.Bucket // nil where there are none
	broken error        // says that the head is damaged, so that nothing counts

	image        string
	facts, bytes int64
	before       growth // facts and bytes before anything was changed
}

// factsOf returns the facts under a name, whatever they are about.
func factsOf(tx *bolt.Tx, name []byte) *heldFacts {
	held := &heldFacts{sealer: sealerOf(name)}
	if all := tx.Bucket(factsBucket); all != nil {
		held.bucket = all.Bucket(name)
	}
	if held.bucket != nil {
		held.readHead()
	}
	return held
}

func (h *heldFacts) readHead() {
	key := []byte{headEntry}
	in, err := h.open(key, h.bucket.Get(key))
	if err == nil {
		h.image, h.facts, h.bytes = string(in.take(in.uvarint())), int64(in.uvarint()), int64(in.uvarint())
		if in.failed || len(in.rest) > 0 || h.facts < 0 || h.bytes < 0 {
			err = errFact
		}
	}
	if err != nil {
		h.broken, h.image = err, ""
		h.facts, h.bytes = count(h.bucket)
	}
	h.before = growth{facts: h.facts, bytes: h.bytes}
}

// count goes over all entries to learn what the head should say.
func count(bucket *bolt.Bucket) (int64, int64) {
	facts, size := int64(0), int64(0)
	cursor := bucket.Cursor()
	for key, entry := cursor.Seek([]byte{factEntry}); key != nil; key, entry = cursor.Next() {
		size += int64(len(key) + len(entry))
		if key[0] == factEntry {
			facts++
		}
	}
	return facts, size
}

// allFacts returns how many facts a file has, and the bytes of their entries.
func allFacts(tx *bolt.Tx) growth {
	var sum growth
	all := tx.Bucket(factsBucket)
	if all == nil {
		return sum
	}
	cursor := all.Cursor()
	for name, _ := cursor.First(); name != nil; name, _ = cursor.Next() {
		held := factsOf(tx, name)
		sum.facts += held.facts
		sum.bytes += held.bytes
	}
	return sum
}

// about reports whether there are facts that count, given the record of the same name.
func (h *heldFacts) about(name, record []byte) bool {
	if h.bucket == nil || h.broken != nil || record == nil {
		return false
	}
	image, ok := recordImage(name, record)
	return ok && image == h.image
}

// entries yields the entries of a kind with their keys, in the order of tags. Both
// are of the file: they end with the transaction or a change.
func (h *heldFacts) entries(kind byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, entry []byte) bool) {
		cursor := h.bucket.Cursor()
		for key, entry := cursor.Seek([]byte{kind}); len(key) > 0 && key[0] == kind; key, entry = cursor.Next() {
			if !yield(key, entry) {
				return
			}
		}
	}
}

// put writes an entry, unless it is there already.
func (h *heldFacts) put(key, entry []byte) error {
	before := h.bucket.Get(key)
	if before == nil {
		h.bytes += int64(len(key))
		h.facts += isFact(key)
	} else if bytes.Equal(before, entry) {
		return nil
	}
	h.bytes += int64(len(entry) - len(before))
	return h.bucket.Put(key, entry)
}

// remove takes an entry away.
func (h *heldFacts) remove(key []byte) error {
	before := h.bucket.Get(key)
	if before == nil {
		return nil
	}
	h.bytes -= int64(len(key) + len(before))
	h.facts -= isFact(key)
	return h.bucket.Delete(key)
}

func isFact(key []byte) int64 {
	if key[0] == factEntry {
		return 1
	}
	return 0
}

// finish writes the head, and returns by how much the facts grew.
func (h *heldFacts) finish() (growth, error) {
	h.facts, h.bytes = max(0, h.facts), max(0, h.bytes) // damaged entries may have been larger or smaller once
	grown := growth{facts: h.facts - h.before.facts, bytes: h.bytes - h.before.bytes}
	entry := appendText(newEntry(), h.image)
	entry = binary.AppendUvarint(entry, uint64(h.facts))
	entry = binary.AppendUvarint(entry, uint64(h.bytes))
	key := []byte{headEntry}
	if entry = h.seal(key, entry); bytes.Equal(h.bucket.Get(key), entry) {
		return grown, nil
	}
	return grown, h.bucket.Put(key, entry)
}

// dropFacts removes all that is held of facts under a name.
func dropFacts(tx *bolt.Tx, name []byte) (growth, error) {
	all := tx.Bucket(factsBucket)
	if all == nil {
		return growth{}, nil
	}
	held := factsOf(tx, name)
	if held.bucket == nil {
		return growth{}, all.Delete(name) // what a damaged page may show in place of a bucket
	}
	return growth{facts: -held.facts, bytes: -held.bytes}, all.DeleteBucket(name)
}

// orphans returns the names of facts without a record.
func orphans(records *bolt.Bucket) [][]byte {
	all := records.Tx().Bucket(factsBucket)
	if all == nil {
		return nil
	}
	var names [][]byte
	cursor := all.Cursor()
	for name, _ := cursor.First(); name != nil; name, _ = cursor.Next() {
		if records.Get(name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// follow has the facts follow a change of the tags: it notes which have gone and
// which came back, and removes the facts of those that are gone for good.
func (h *heldFacts) follow(tags []string, now int64) (growth, error) {
	gone, missed := h.missing(tags), h.missed()
	for tag := range missed {
		if _, still := slices.BinarySearch(gone, tag); !still {
			if err := h.remove(entryKey(goneEntry, tag)); err != nil {
				return growth{}, err
			}
		}
	}
	for _, tag := range gone {
		since, before := missed[tag]
		var err error
		switch graceOf(since, before, now) {
		case goneNew:
			err = h.miss(tag, now)
		case goneOver:
			err = h.forgetTag(tag)
		}
		if err != nil {
			return growth{}, err
		}
	}
	return h.finish()
}

// missing returns the tags that have facts and are not among others. Both are in
// the same order.
func (h *heldFacts) missing(tags []string) []string {
	var missing []string
	i := 0
	for key := range h.entries(factEntry) {
		tag := key[1:]
		for i < len(tags) && tags[i] < string(tag) {
			i++
		}
		if i == len(tags) || tags[i] != string(tag) {
			missing = append(missing, string(tag))
		}
	}
	return missing
}

// missed returns since when tags are gone. What can't be read is taken for a time
// to come, which will be replaced.
func (h *heldFacts) missed() map[string]int64 {
	missed := map[string]int64{}
	for key, entry := range h.entries(goneEntry) {
		since := int64(math.MaxInt64)
		if in, err := h.open(key, entry); err == nil {
			if at := in.varint(); !in.failed && len(in.rest) == 0 {
				since = at
			}
		}
		missed[string(key[1:])] = since
	}
	return missed
}

func (h *heldFacts) miss(tag string, now int64) error {
	key := entryKey(goneEntry, tag)
	return h.put(key, h.seal(key, binary.AppendVarint(newEntry(), now)))
}

func (h *heldFacts) forgetTag(tag string) error {
	if err := h.remove(entryKey(factEntry, tag)); err != nil {
		return err
	}
	return h.remove(entryKey(goneEntry, tag))
}

// forgetGone removes the facts of all tags that are gone.
func (h *heldFacts) forgetGone() error {
	for tag := range h.missed() {
		if err := h.forgetTag(tag); err != nil {
			return err
		}
	}
	return nil
}
