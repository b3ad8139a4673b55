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

// damages calls use with the content of a file in all kinds of damage: each byte changed,
// cut off after each byte, with bytes at its end, and of another origin.
func damages(content []byte, use func(reason string, damaged []byte)) {
	for i := range content {
		flipped := bytes.Clone(content)
		flipped[i] ^= 1 << (i % 8)
		use(fmt.Sprintf("byte %d is changed", i), flipped)
		use(fmt.Sprintf("it is cut to %d bytes", i), content[:i])
	}
	use("bytes follow it", append(bytes.Clone(content), "more than the header of a record"...))
	use("it has zeros only", make([]byte, len(content)))
	use("it is a file of bbolt", append(make([]byte, 16), 0xed, 0xda, 0x0c, 0xed, 2, 0, 0, 0))
	use("it is of a later format", bytes.Replace(content, []byte(" 1\n"), []byte(" 2\n"), 1))
}

// TestSnapshot_SetsAsideDamagedFile has all kinds of damage in one of two files.
func TestSnapshot_SetsAsideDamagedFile(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid")
	tags, reports := opened(t, dir)
	wantWorks(t, tags)
	mustPut(t, tags, numbered(1), testSnapshot)
	content := readFile(t, path)
	damages(content, func(reason string, damaged []byte) {
		*reports = nil
		write(t, path, damaged)
		for range 2 { // it is reported once
			g.Expect(tags.Get(t.Context(), testKey)).Error().To(MatchError(ErrNotFound), "%s: Get()", reason)
			g.Expect(tags.Info(t.Context(), testKey)).Error().To(MatchError(ErrNotFound), "%s: Info()", reason)
		}
		wantKinds(t, *reports, RecordDamaged)
		if got := (*reports)[0]; got.Key != testKey || got.Paths[0] != path+asideSuffix || !errors.Is(got.Err, errDamaged) {
			t.Errorf("%s: the report is %+v", reason, got)
		}
		g.Expect(readFile(t, path+asideSuffix)).To(Equal(damaged), "%s: what was set aside is another file", reason)
		mustPut(t, tags, testKey, testSnapshot)
		wantFacts(t, tags, testKey, testFacts())
	})
	wantHeld(t, tags, testKey, testSnapshot)
	wantHeld(t, tags, numbered(1), testSnapshot)
	g.Expect(files(t, dir)).To(HaveLen(4), "the files")
}

// TestSnapshot_SetsAsideFoldersAndLinks has folders and other things in place of a snapshot.
func TestSnapshot_SetsAsideFoldersAndLinks(t *testing.T) {
	g := NewWithT(t)
	for reason, place := range map[string]func(path string) error{
		"a folder": func(path string) error { return os.MkdirAll(filepath.Join(path, "sub"), 0o700) },
		"a link":   func(path string) error { return os.Symlink("/etc/passwd", path) },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "ns/repo/uid")
		tags, reports := opened(t, dir)
		wantWorks(t, tags)
		g.Expect(errors.Join(os.Remove(path), place(path))).To(Succeed())
		g.Expect(tags.Get(t.Context(), testKey)).Error().To(MatchError(ErrNotFound), "Get() of %s", reason)
		wantKinds(t, *reports, RecordDamaged)
		wantWorks(t, tags)
	}
}

// TestFacts_SetAsideDamagedRecords has all kinds of damage in a log of two records, of
// which the first one stays where the damage comes after it. What is cut is a record that
// was not finished, which is no damage.
func TestFacts_SetAsideDamagedRecords(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid"+factsSuffix)
	tags, _ := opened(t, dir)
	mustPut(t, tags, testKey, testSnapshot)
	mustPutFacts(t, tags, testKey, factMap{"1": someFact(1)})
	first := len(readFile(t, path))
	mustPutFacts(t, tags, testKey, factMap{"2": someFact(2)})
	content := readFile(t, path)
	closed(t, tags)
	damages(content, func(reason string, damaged []byte) {
		write(t, path, damaged)
		tags, reports := opened(t, dir)
		defer closed(t, tags)
		got, err := tags.Facts(t.Context(), testKey)
		if err != nil {
			t.Errorf("%s: Facts() = %v", reason, err)
		}
		for tag, fact := range got {
			if !reflect.DeepEqual(fact, testFacts()[tag]) {
				t.Errorf("%s: the fact of %s was never put: %v", reason, tag, fact)
			}
		}
		if _, kept := got["1"]; kept != bytes.HasPrefix(damaged, content[:first]) {
			t.Errorf("%s: Facts() = %v", reason, got)
		}
		if cut := bytes.HasPrefix(content, damaged) && (len(damaged) == 0 || len(damaged) >= len(factsMagic)); cut {
			wantKinds(t, *reports)
		} else {
			wantKinds(t, *reports, FactsDamaged)
		}
		mustPutFacts(t, tags, testKey, testFacts())
		wantFacts(t, tags, testKey, testFacts())
		wantHeld(t, tags, testKey, testSnapshot)
	})
}

func TestFacts_SetAsideFileOfAnotherObject(t *testing.T) {
	dir := t.TempDir()
	tags, reports := opened(t, dir)
	wantWorks(t, tags)
	mustPut(t, tags, numbered(1), testSnapshot)
	mustPutFacts(t, tags, numbered(1), testFacts())
	write(t, filepath.Join(dir, "ns/repo-1/uid-1.facts"), readFile(t, filepath.Join(dir, "ns/repo/uid.facts")))
	wantFacts(t, tags, numbered(1), nil)
	wantKinds(t, *reports, FactsDamaged)
}

// TestFacts_AppendSmallChanges writes some facts of very many, and removes some
// tags, again and again.
func TestFacts_AppendSmallChanges(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "ns/repo/uid"+factsSuffix)
	size := func() int { return len(readFile(t, path)) }
	tags, _ := opened(t, dir)
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
		want[tag] = someFact(-i)
		mustPutFacts(t, tags, testKey, factMap{tag: want[tag]})
	}
	mustPut(t, tags, testKey, scan.Snapshot{Image: "image", Tags: all.Tags[:5000], FirstSeen: all.FirstSeen[:5000]})
	mustPut(t, tags, testKey, all)
	if grown := size() - full; grown > 50*200+2*5000*20 {
		t.Errorf("50 facts and 5,000 tags that went and came back took %d bytes, and all facts %d", grown, full)
	}
	g.Expect(files(t, dir)["ns/repo/uid.facts"].inode).To(Equal(inode), "the file was written anew for a few facts")
	for i := range 5 { // a log that grows is written anew in the end
		for tag, fact := range want {
			fact.DigestSince += int64(i)
			want[tag] = fact
		}
		mustPutFacts(t, tags, testKey, want)
	}
	g.Expect(size()).To(BeNumerically("<=", 3*full), "%d bytes became", full)
	wantFacts(t, tags, testKey, want)
}

// TestFacts_AreBounded has more tags than facts are kept.
func TestFacts_AreBounded(t *testing.T) {
	tags, _ := opened(t, t.TempDir())
	tags.maxFacts = 4
	facts := factMap{"a": someFact(1), "b": someFact(2), "c": someFact(3), "d": someFact(4)}
	mustPut(t, tags, testKey, scan.Snapshot{Image: "image", Tags: []string{"a", "b", "c", "d"}, FirstSeen: make([]int64, 4)})
	mustPutFacts(t, tags, testKey, facts)
	for range 2 {
		NewWithT(t).Expect(tags.PutFacts(t.Context(), testKey, factMap{"e": someFact(5)})).To(MatchError(ErrTooLarge), "PutFacts() of one too many")
		wantFacts(t, tags, testKey, facts)
	}
	mustPut(t, tags, testKey, scan.Snapshot{Image: "image", Tags: []string{"b", "e"}, FirstSeen: make([]int64, 2)})
	wantFacts(t, tags, testKey, facts)
	mustPutFacts(t, tags, testKey, factMap{"e": someFact(5)}) // those that are gone make room
	wantFacts(t, tags, testKey, factMap{"b": someFact(2), "e": someFact(5)})
}

// FuzzFacts reads arbitrary bytes as changes. What can be read can be stored, and comes
// back the same.
func FuzzFacts(f *testing.F) {
	c, err := newFactLog("image").merge(testFacts(), MaxTags)
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range []changes{c, {Image: "image", Gone: map[string]int64{"1": 5}}, {Removed: []string{"1"}}} {
		record, err := encodeRecord(testKey, c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record[recordHeader:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		log, again := newFactLog(""), newFactLog("")
		var c changes
		if err := decoding.Unmarshal(data, &c); err != nil {
			return
		}
		log.apply(c)
		facts := log.facts
		if err := validateFacts(facts); err != nil {
			t.Fatal(err)
		}
		record, err := encodeRecord(testKey, changes{Image: log.image, Facts: log.facts, Gone: log.gone})
		if err == nil {
			err = again.parse(testKey, append(bytes.Clone(factsMagic), record...))
		}
		if err != nil || !equality.Semantic.DeepEqual(again.facts, facts) || again.image != log.image || !maps.Equal(again.gone, log.gone) {
			t.Fatalf("%v became %v, %v", log, again, err)
		}
	})
}

// TestMetrics_ReportRecordsFactsAndEvents opens a store beside another storage, with a file that is damaged.
func TestMetrics_ReportRecordsFactsAndEvents(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "MANIFEST"), nil)
	write(t, filepath.Join(dir, "ns/other/uid"), []byte("damaged"))
	registry := prometheus.NewPedanticRegistry()
	tags := New(dir, Options{Metrics: registry})
	wantWorks(t, tags)
	g.Expect(tags.Get(t.Context(), Key{"ns", "other", "uid"})).Error().To(MatchError(ErrNotFound), "Get()")
	size := len(readFile(t, filepath.Join(dir, "ns/repo/uid"))) + len(readFile(t, filepath.Join(dir, "ns/repo/uid.facts")))
	want := fmt.Sprintf(`
# HELP image_reflector_store_facts %s
# TYPE image_reflector_store_facts gauge
image_reflector_store_facts 2
# HELP image_reflector_store_records The image repositories whose tags the tag store holds.
# TYPE image_reflector_store_records gauge
image_reflector_store_records 1
# HELP image_reflector_store_reports_total What happened to the tag store besides the calls made to it, by kind.
# TYPE image_reflector_store_reports_total counter
image_reflector_store_reports_total{kind="facts_damaged"} 0
image_reflector_store_reports_total{kind="leftovers_found"} 1
image_reflector_store_reports_total{kind="record_damaged"} 1
# HELP image_reflector_store_size_bytes The size of the tag store's files.
# TYPE image_reflector_store_size_bytes gauge
image_reflector_store_size_bytes %d
`, "The tags of whose images the tag store knows something, of repositories that it was asked about since it was opened.", size)
	g.Expect(testutil.GatherAndCompare(registry, strings.NewReader(want))).To(Succeed())
	g.Expect(testutil.GatherAndLint(registry)).To(BeEmpty(), "the metrics have problems")
	closed(t, tags)
}
