// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// putManyFacts stores n facts, and a snapshot with their tags.
func putManyFacts(t testing.TB, tags *Store, key Key, n int) factMap {
	t.Helper()
	facts := manyFacts(n)
	mustPut(t, tags, key, scan.Next(scan.Snapshot{}, "image", slices.Collect(maps.Keys(facts)), tags.options.Now()))
	mustPutFacts(t, tags, key, facts)
	return facts
}

// wantFactsOf expects these facts of their tags, without a complete read.
func wantFactsOf(t testing.TB, tags *Store, key Key, want factMap) {
	t.Helper()
	got, all, err := tags.FactsOf(t.Context(), key, slices.Collect(maps.Keys(want))...)
	if err != nil || all || !reflect.DeepEqual(got, want) {
		t.Fatalf("FactsOf() = %v, %v, %v, want %v", got, all, err, want)
	}
}

// TestFactsOf_ReadsOnlyRecordsOfTags damages the records of all tags but one: a complete read would
// find that.
func TestFactsOf_ReadsOnlyRecordsOfTags(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid"+factsSuffix)
	tags, reports := openStore(t, dir)
	facts := putManyFacts(t, tags, testKey, 5000)
	want := factMap{"v1.0.1": testFact(-1)}
	mustPutFacts(t, tags, testKey, want) // a record of its own, at the end
	content := readFile(t, path)
	last := tags.indexes.get(testKey).records["v1.0.1"]
	g.Expect(int(last.offset+last.length)).To(Equal(len(content)), "the fact is in the last record")
	damaged := slices.Concat(factsMagic, make([]byte, int(last.offset)-len(factsMagic)), content[last.offset:])
	g.Expect(os.WriteFile(path, damaged, 0o600)).To(Succeed())

	wantFactsOf(t, tags, testKey, want)
	wantKinds(t, *reports)
	got, all, err := tags.FactsOf(t.Context(), testKey, "v1.0.2")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).NotTo(HaveKeyWithValue("v1.0.2", Not(Equal(facts["v1.0.2"]))), "a wrong fact")
	g.Expect(all).To(BeTrue(), "after damage the log is read completely")
	wantKinds(t, *reports, FactsDamaged)
	mustPutFacts(t, tags, testKey, facts)
	wantFacts(t, tags, testKey, facts)
}

// TestFactsOf_DetectsDamageWhileIndexed damages a log at each place after it was indexed. FactsOf
// must return the right fact or none, and later writes must work.
func TestFactsOf_DetectsDamageWhileIndexed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid"+factsSuffix)
	tags, _ := openStore(t, dir)
	IndexAllFacts(tags)
	mustPut(t, tags, testKey, testSnapshot)
	mustPutFacts(t, tags, testKey, testFacts())
	forEachDamage(readFile(t, path), func(reason string, damaged []byte) {
		writeFile(t, path, damaged)
		got, _, err := tags.FactsOf(t.Context(), testKey, "1", "2")
		if err != nil {
			t.Errorf("%s: FactsOf() = %v", reason, err)
		}
		for tag, fact := range got {
			if !reflect.DeepEqual(fact, testFacts()[tag]) {
				t.Errorf("%s: wrong fact of %s: %v", reason, tag, fact)
			}
		}
		mustPutFacts(t, tags, testKey, testFacts())
		wantFacts(t, tags, testKey, testFacts())
	})
}

// TestPutFacts_StoresAllFactsIfTheRewriteFindsDamage damages the first record of an indexed log, which
// has its image, or the last one. The facts of a later record must be stored although they were the
// same as in the index.
func TestPutFacts_StoresAllFactsIfTheRewriteFindsDamage(t *testing.T) {
	for name, at := range map[string]func(content []byte) int{
		"the record with the image": func([]byte) int { return len(factsMagic) + recordHeader },
		"the last record":           func(content []byte) int { return len(content) - 1 },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			dir := t.TempDir()
			path := filepath.Join(dir, "ns/repo/uid"+factsSuffix)
			tags, reports := openStore(t, dir)
			facts := putManyFacts(t, tags, testKey, 1000)
			content := readFile(t, path)
			damage := at(content)
			added, err := tags.Facts(t.Context(), testKey)
			g.Expect(err).NotTo(HaveOccurred())
			index := tags.indexes.get(testKey)
			maps.DeleteFunc(added, func(tag string, _ admission.ImageInfo) bool {
				at := index.records[tag]
				return damage >= int(at.offset) && damage < int(at.offset+at.length) // a lookup finds it
			})
			content[damage] ^= 1
			writeFile(t, path, content)
			tags.stateOf(testKey).factsDurable = false // so that the log is rewritten

			mustPutFacts(t, tags, testKey, added)
			wantKinds(t, *reports, FactsDamaged)
			got, err := tags.Facts(t.Context(), testKey)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(added))
			g.Expect(len(added)).To(BeNumerically(">=", len(facts)-maxRecordFacts))
		})
	}
}

// TestPut_RemovesFactsIfTheRewriteFindsDamage is the same for the marks of missing tags.
func TestPut_RemovesFactsIfTheRewriteFindsDamage(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid"+factsSuffix)
	tags, _ := openStore(t, dir)
	putManyFacts(t, tags, testKey, 1000)
	content := readFile(t, path)
	content[len(factsMagic)+recordHeader] ^= 1
	writeFile(t, path, content)
	tags.stateOf(testKey).factsDurable = false
	mustPut(t, tags, testKey, scan.Snapshot{Image: "image", Tags: []string{"1"}, FirstSeen: []int64{1}})
	g.Expect(path).NotTo(BeAnExistingFile(), "facts without an image")
	mustPutFacts(t, tags, testKey, factMap{"1": testFact(1)})
	wantFacts(t, tags, testKey, factMap{"1": testFact(1)})
}

// TestPutFacts_AppendsAfterRewrite changes facts until the log is rewritten because half of it is
// not in use. The next change must be appended.
func TestPutFacts_AppendsAfterRewrite(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	tags, _ := openStore(t, dir)
	putManyFacts(t, tags, testKey, 1000)
	inode := func() uint64 { return files(t, dir)["ns/repo/uid.facts"].inode }
	n := 0
	put := func() {
		n++
		changed := factMap{}
		for i := range maxAppended {
			changed[fmt.Sprintf("v1.0.%d", i)] = testFact(-n)
		}
		mustPutFacts(t, tags, testKey, changed)
	}
	original := inode()
	for n < 10 && inode() == original {
		put()
	}
	rewritten := inode()
	g.Expect(rewritten).NotTo(Equal(original), "the log grows")
	index := tags.indexes.get(testKey)
	g.Expect(index.size).To(Equal(1000), "changes in the log")
	put()
	g.Expect(inode()).To(Equal(rewritten), "the log is rewritten again")
}

// TestFactsOf_DoesNotReadMarksOfMissingTags damages the record with the marks.
func TestFactsOf_DoesNotReadMarksOfMissingTags(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid"+factsSuffix)
	tags, reports := openStore(t, dir)
	facts := putManyFacts(t, tags, testKey, 1000)
	mustPut(t, tags, testKey, scan.Snapshot{Image: "image", Tags: []string{"1"}, FirstSeen: []int64{1}})
	tags.stateOf(testKey).factsDurable = false
	mustPutFacts(t, tags, testKey, factMap{"1": testFact(1)}) // rewrites the log with all marks
	g.Expect(tags.indexes.get(testKey).missing).To(HaveLen(1000))
	content := readFile(t, path)
	content[len(content)-1] ^= 1
	writeFile(t, path, content)
	wantFactsOf(t, tags, testKey, facts)
	wantKinds(t, *reports)
}

// TestFacts_KeepsTheIndex checks that a complete read does not build the index again.
func TestFacts_KeepsTheIndex(t *testing.T) {
	g := NewWithT(t)
	tags, _ := openStore(t, t.TempDir())
	facts := putManyFacts(t, tags, testKey, 1000)
	index := tags.indexes.get(testKey)
	wantFacts(t, tags, testKey, facts)
	g.Expect(tags.indexes.get(testKey)).To(BeIdenticalTo(index))
}

// TestFactsOf_ReadsLogsOfOlderVersions reads a large log in one record, as it was written before
// there were indexes. The next write divides it.
func TestFactsOf_ReadsLogsOfOlderVersions(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid"+factsSuffix)
	tags, _ := openStore(t, dir)
	facts := putManyFacts(t, tags, testKey, 1000)
	closeStore(t, tags)
	record, err := encodeRecord(testKey, changes{Image: "image", Facts: facts, Missing: map[string]int64{"v1.0.1": tags.options.Now().Unix()}})
	g.Expect(err).NotTo(HaveOccurred())
	older := slices.Concat(factsMagic, record)
	g.Expect(len(older)).To(BeNumerically(">", minIndexed))
	writeFile(t, path, older)

	tags, reports := openStore(t, dir)
	_, all, err := tags.FactsOf(t.Context(), testKey, "v1.0.1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(all).To(BeTrue(), "a lookup reads all facts")
	g.Expect(tags.indexes.get(testKey)).To(BeNil(), "a lookup by an index would read all facts, too")
	g.Expect(readFile(t, path)).To(Equal(older), "reading does not write")
	facts["v1.0.2"] = testFact(-1)
	mustPutFacts(t, tags, testKey, factMap{"v1.0.2": facts["v1.0.2"]})
	wantFactsOf(t, tags, testKey, factMap{"v1.0.1": facts["v1.0.1"]})
	g.Expect(tags.indexes.get(testKey).missing).To(HaveKey("v1.0.1"))
	wantFacts(t, tags, testKey, facts)
	rewritten := readFile(t, path)
	g.Expect(len(rewritten)).To(BeNumerically("~", len(older), len(older)/5))
	log := newFactLog("") // older versions read the same format
	g.Expect(log.parse(testKey, rewritten)).To(Succeed())
	g.Expect(log.facts).To(HaveLen(len(facts)))
	wantKinds(t, *reports)
}

// TestFacts_KeepSmallLogsUnindexed checks that the facts of most repositories use no memory.
func TestFacts_KeepSmallLogsUnindexed(t *testing.T) {
	g := NewWithT(t)
	tags, _ := openStore(t, t.TempDir())
	facts := putManyFacts(t, tags, testKey, 100)
	got, all, err := tags.FactsOf(t.Context(), testKey, "v1.0.1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(all).To(BeTrue())
	g.Expect(got).To(Equal(facts))
	g.Expect(tags.indexes.indexes.Len()).To(BeZero())
}

// TestFactIndexes_AreBounded stores indexes of many objects, removes an object, and counts entries.
func TestFactIndexes_AreBounded(t *testing.T) {
	g := NewWithT(t)
	tags, _ := openStore(t, t.TempDir())
	for n := range 3 {
		putManyFacts(t, tags, numberedKey(n), 1000)
	}
	g.Expect(tags.indexes.entries).To(Equal(3000))
	g.Expect(tags.Delete(t.Context(), numberedKey(1))).To(Succeed())
	g.Expect(tags.indexes.entries).To(Equal(2000))
	large := newFactLog("image")
	large.records = map[string]location{}
	for n := range maxIndexed - 1500 {
		large.records[fmt.Sprint(n)] = location{}
	}
	for n := range 500 { // the index holds these, too
		large.missing[fmt.Sprint(n)] = 1
	}
	tags.indexes.put(testKey, large)
	g.Expect(tags.indexes.get(numberedKey(0))).To(BeNil(), "the index that was not used for the longest time")
	g.Expect(tags.indexes.get(numberedKey(2))).NotTo(BeNil())
	g.Expect(tags.indexes.entries).To(Equal(maxIndexed))
	wantFacts(t, tags, numberedKey(0), manyFacts(1000))

	large.records = map[string]location{}
	for n := range maxIndexed + 1 {
		large.records[fmt.Sprint(n)] = location{}
	}
	tags.indexes.put(testKey, large)
	g.Expect(tags.indexes.get(testKey)).To(BeNil(), "an index with too many facts")
	g.Expect(tags.indexes.get(numberedKey(0))).NotTo(BeNil(), "it replaces no other")
	large.addToIndex(changes{}, 0, 0)
	g.Expect(large.records).To(BeNil(), "it is not completed")
}

// BenchmarkFacts compares reading the facts of 8 tags, and adding one, with the same when the log
// is read completely, as it is without an index.
func BenchmarkFacts(b *testing.B) {
	for _, n := range []int{50, 1000, 100_000} {
		tags, _ := openStore(b, b.TempDir())
		facts := putManyFacts(b, tags, testKey, n)
		candidates := slices.Collect(maps.Keys(facts))[:8]
		added := 0
		for name, use := range map[string]func(){
			"read 8": func() {
				if _, _, err := tags.FactsOf(b.Context(), testKey, candidates...); err != nil {
					b.Fatal(err)
				}
			},
			"add one": func() {
				added++
				mustPutFacts(b, tags, testKey, factMap{candidates[0]: testFact(-added)})
			},
		} {
			var took [2]time.Duration
			for i, kind := range []string{"complete", "indexed"} {
				b.Run(fmt.Sprintf("%d/%s/%s", n, name, kind), func(b *testing.B) {
					for b.Loop() {
						if kind == "complete" {
							tags.indexes.drop(testKey)
						}
						use()
					}
					took[i] = b.Elapsed() / time.Duration(b.N)
				})
			}
			b.Logf("%s of %d facts: %v by a complete read, %v, ratio %.1f", name, n, took[0], took[1], float64(took[0])/float64(took[1]))
		}
		closeStore(b, tags)
	}
}
