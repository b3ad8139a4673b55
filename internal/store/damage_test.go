// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// forEachDamage calls use with a damaged content in many variants: each byte changed, truncated
// after each byte, with bytes appended, and of another format.
func forEachDamage(content []byte, use func(reason string, damaged []byte)) {
	for i := range content {
		flipped := bytes.Clone(content)
		flipped[i] ^= 1 << (i % 8)
		use(fmt.Sprintf("byte %d is changed", i), flipped)
		use(fmt.Sprintf("it is truncated to %d bytes", i), content[:i])
	}
	use("bytes are appended", append(bytes.Clone(content), "more than the header of a record"...))
	use("it contains only zeros", make([]byte, len(content)))
	use("it is a file of bbolt", append(make([]byte, 16), 0xed, 0xda, 0x0c, 0xed, 2, 0, 0, 0))
	use("it is of a later format", bytes.Replace(content, []byte(" 1\n"), []byte(" 2\n"), 1))
}

// TestSnapshot_SetsAsideDamagedFile covers all kinds of damage in one of two files.
func TestSnapshot_SetsAsideDamagedFile(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid")
	tags, reports := openStore(t, dir)
	wantWorks(t, tags)
	mustPut(t, tags, numberedKey(1), testSnapshot)
	content := readFile(t, path)
	forEachDamage(content, func(reason string, damaged []byte) {
		*reports = nil
		writeFile(t, path, damaged)
		for range 2 { // the damage is reported once
			g.Expect(tags.Get(t.Context(), testKey)).Error().To(MatchError(ErrNotFound), "%s: Get()", reason)
			g.Expect(tags.Info(t.Context(), testKey)).Error().To(MatchError(ErrNotFound), "%s: Info()", reason)
		}
		wantKinds(t, *reports, RecordDamaged)
		if got := (*reports)[0]; got.Key != testKey || got.Paths[0] != path+corruptSuffix || !errors.Is(got.Err, errDamaged) {
			t.Errorf("%s: the report is %+v", reason, got)
		}
		g.Expect(readFile(t, path+corruptSuffix)).To(Equal(damaged), "%s: content of the file that was set aside", reason)
		mustPut(t, tags, testKey, testSnapshot)
		wantFacts(t, tags, testKey, testFacts())
	})
	wantStored(t, tags, testKey, testSnapshot)
	wantStored(t, tags, numberedKey(1), testSnapshot)
	g.Expect(files(t, dir)).To(HaveLen(4), "files")
}

// TestSnapshot_SetsAsideFoldersAndLinks covers folders and links in place of a snapshot.
func TestSnapshot_SetsAsideFoldersAndLinks(t *testing.T) {
	g := NewWithT(t)
	for reason, place := range map[string]func(path string) error{
		"a folder": func(path string) error { return os.MkdirAll(filepath.Join(path, "sub"), 0o700) },
		"a link":   func(path string) error { return os.Symlink("/etc/passwd", path) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "ns/repo/uid")
		tags, reports := openStore(t, dir)
		wantWorks(t, tags)
		g.Expect(errors.Join(os.Remove(path), place(path))).To(Succeed())
		g.Expect(tags.Get(t.Context(), testKey)).Error().To(MatchError(ErrNotFound), "Get() of %s", reason)
		wantKinds(t, *reports, RecordDamaged)
		wantWorks(t, tags)
	}
}

// TestFacts_SetAsideDamagedRecords covers all kinds of damage in a log of two records. The first
// record must be kept if the damage is after it. A truncated record is incomplete, not damaged.
func TestFacts_SetAsideDamagedRecords(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid"+factsSuffix)
	tags, _ := openStore(t, dir)
	mustPut(t, tags, testKey, testSnapshot)
	mustPutFacts(t, tags, testKey, factMap{"1": testFact(1)})
	first := len(readFile(t, path))
	mustPutFacts(t, tags, testKey, factMap{"2": testFact(2)})
	content := readFile(t, path)
	closeStore(t, tags)
	forEachDamage(content, func(reason string, damaged []byte) {
		writeFile(t, path, damaged)
		tags, reports := openStore(t, dir)
		defer closeStore(t, tags)
		got, err := tags.Facts(t.Context(), testKey)
		if err != nil {
			t.Errorf("%s: Facts() = %v", reason, err)
		}
		for tag, fact := range got {
			if !reflect.DeepEqual(fact, testFacts()[tag]) {
				t.Errorf("%s: wrong fact of %s: %v", reason, tag, fact)
			}
		}
		if _, found := got["1"]; found != bytes.HasPrefix(damaged, content[:first]) {
			t.Errorf("%s: Facts() = %v", reason, got)
		}
		if cut := bytes.HasPrefix(content, damaged) && (len(damaged) == 0 || len(damaged) >= len(factsMagic)); cut {
			wantKinds(t, *reports)
		} else {
			wantKinds(t, *reports, FactsDamaged)
		}
		mustPutFacts(t, tags, testKey, testFacts())
		wantFacts(t, tags, testKey, testFacts())
		wantStored(t, tags, testKey, testSnapshot)
	})
}

func TestFacts_SetAsideFileOfAnotherObject(t *testing.T) {
	dir := t.TempDir()
	tags, reports := openStore(t, dir)
	wantWorks(t, tags)
	mustPut(t, tags, numberedKey(1), testSnapshot)
	mustPutFacts(t, tags, numberedKey(1), testFacts())
	writeFile(t, filepath.Join(dir, "ns/repo-1/uid-1.facts"), readFile(t, filepath.Join(dir, "ns/repo/uid.facts")))
	wantFacts(t, tags, numberedKey(1), nil)
	wantKinds(t, *reports, FactsDamaged)
}

// TestFacts_AppendSmallChanges repeatedly changes a few of many facts and removes some tags.
func TestFacts_AppendSmallChanges(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid"+factsSuffix)
	size := func() int { return len(readFile(t, path)) }
	tags, _ := openStore(t, dir)
	all := scan.Snapshot{Image: "image"}
	want := manyFacts(10_000)
	for i := range 10_000 {
		all.Tags = append(all.Tags, fmt.Sprintf("v1.%d.%d", i/1000, i%1000))
	}
	all = scan.Next(scan.Snapshot{}, "image", all.Tags, tags.options.Now())
	mustPut(t, tags, testKey, all)
	mustPutFacts(t, tags, testKey, want)
	full := size()
	inode := files(t, dir)["ns/repo/uid.facts"].inode
	for i := range 50 {
		tag := fmt.Sprintf("v1.%d.%d", i%10, i)
		want[tag] = testFact(-i)
		mustPutFacts(t, tags, testKey, factMap{tag: want[tag]})
	}
	mustPut(t, tags, testKey, scan.Snapshot{Image: "image", Tags: all.Tags[:5000], FirstSeen: all.FirstSeen[:5000]})
	mustPut(t, tags, testKey, all)
	if growth := size() - full; growth > 50*200+2*5000*20 {
		t.Errorf("50 facts and 5,000 tags that went missing and came back took %d bytes, and all facts %d", growth, full)
	}
	g.Expect(files(t, dir)["ns/repo/uid.facts"].inode).To(Equal(inode), "the file was rewritten for a few facts")
	for i := range 5 { // a growing log is rewritten eventually
		for tag, fact := range want {
			fact.DigestSince += int64(i)
			want[tag] = fact
		}
		mustPutFacts(t, tags, testKey, want)
	}
	g.Expect(size()).To(BeNumerically("<=", 3*full), "size of the log, originally %d bytes", full)
	wantFacts(t, tags, testKey, want)
}

// TestFacts_AreBounded covers more tags than facts may be stored.
func TestFacts_AreBounded(t *testing.T) {
	tags, _ := openStore(t, t.TempDir())
	tags.maxFacts = 4
	facts := factMap{"a": testFact(1), "b": testFact(2), "c": testFact(3), "d": testFact(4)}
	mustPut(t, tags, testKey, scan.Snapshot{Image: "image", Tags: []string{"a", "b", "c", "d"}, FirstSeen: make([]int64, 4)})
	mustPutFacts(t, tags, testKey, facts)
	for range 2 {
		NewWithT(t).Expect(tags.PutFacts(t.Context(), testKey, factMap{"e": testFact(5)})).To(MatchError(ErrTooLarge), "PutFacts() of one too many")
		wantFacts(t, tags, testKey, facts)
	}
	mustPut(t, tags, testKey, scan.Snapshot{Image: "image", Tags: []string{"b", "e"}, FirstSeen: make([]int64, 2)})
	wantFacts(t, tags, testKey, facts)
	mustPutFacts(t, tags, testKey, factMap{"e": testFact(5)}) // the facts of missing tags are removed
	wantFacts(t, tags, testKey, factMap{"b": testFact(2), "e": testFact(5)})
}

// FuzzFacts decodes arbitrary bytes as a record of changed facts. The decoded facts can be stored and are restored
// unchanged.
func FuzzFacts(f *testing.F) {
	c, err := newFactLog("image").merge(testFacts(), MaxTags)
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range []changes{c, {Image: "image", Missing: map[string]int64{"1": 5}}, {Removed: []string{"1"}}} {
		record, err := encodeRecord(testKey, c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record[recordHeader:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		log, restored := newFactLog(""), newFactLog("")
		var c changes
		if err := decMode.Unmarshal(data, &c); err != nil {
			return
		}
		log.apply(c)
		facts := log.facts
		if err := validateFacts(facts); err != nil {
			t.Fatal(err)
		}
		record, err := encodeRecord(testKey, changes{Image: log.image, Facts: log.facts, Missing: log.missing})
		if err == nil {
			err = restored.parse(testKey, append(bytes.Clone(factsMagic), record...))
		}
		if err != nil || !equality.Semantic.DeepEqual(restored.facts, facts) || restored.image != log.image || !maps.Equal(restored.missing, log.missing) {
			t.Fatalf("%v became %v, %v", log, restored, err)
		}
	})
}

// TestMetrics_ReportRecordsFactsAndEvents opens a folder with another storage and a damaged file.
func TestMetrics_ReportRecordsFactsAndEvents(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "MANIFEST"), nil)
	writeFile(t, filepath.Join(dir, "ns/other/uid"), []byte("damaged"))
	registry := prometheus.NewPedanticRegistry()
	tags := New(dir, Options{Metrics: registry})
	wantWorks(t, tags)
	g.Expect(tags.Get(t.Context(), Key{"ns", "other", "uid"})).Error().To(MatchError(ErrNotFound), "Get()")
	size := len(readFile(t, filepath.Join(dir, "ns/repo/uid"))) + len(readFile(t, filepath.Join(dir, "ns/repo/uid.facts")))
	want := fmt.Sprintf(`
# HELP image_reflector_store_facts %s
# TYPE image_reflector_store_facts gauge
image_reflector_store_facts 2
# HELP image_reflector_store_records The image repositories whose tags are stored.
# TYPE image_reflector_store_records gauge
image_reflector_store_records 1
# HELP image_reflector_store_reports_total The problems that the tag store found in its files, by kind.
# TYPE image_reflector_store_reports_total counter
image_reflector_store_reports_total{kind="facts_damaged"} 0
image_reflector_store_reports_total{kind="leftovers_found"} 1
image_reflector_store_reports_total{kind="record_damaged"} 1
# HELP image_reflector_store_size_bytes The size of the tag store's files.
# TYPE image_reflector_store_size_bytes gauge
image_reflector_store_size_bytes %d
`, "The tags with stored facts of their images, of repositories whose facts were used since the store was opened.", size)
	g.Expect(testutil.GatherAndCompare(registry, strings.NewReader(want))).To(Succeed())
	g.Expect(testutil.GatherAndLint(registry)).To(BeEmpty(), "problems of the metrics")
	closeStore(t, tags)
}
