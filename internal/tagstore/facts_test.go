// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

type factMap = map[string]admission.Fact

// testFacts are of the tags of testSnapshot.
func testFacts() factMap { return factMap{"1": someFact(1), "2": someFact(2)} }

func mustPut(t testing.TB, store Store, key Key, s scan.Snapshot) {
	t.Helper()
	if err := store.Put(t.Context(), key, s); err != nil {
		t.Fatalf("Put(%s) = %v", key, err)
	}
}

func mustPutFacts(t testing.TB, store FactStore, key Key, facts factMap) {
	t.Helper()
	if err := store.PutFacts(t.Context(), key, facts); err != nil {
		t.Fatalf("PutFacts(%s) = %v", key, err)
	}
}

func wantFacts(t testing.TB, store FactReader, key Key, want factMap) {
	t.Helper()
	got, err := store.Facts(t.Context(), key)
	if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("Facts(%s) = %d facts, %v, want %d or others", key, len(got), err, len(want))
	}
}

// wantAccount expects that what the store knows of its file is what is in it.
func wantAccount(t testing.TB, store *Bolt) {
	t.Helper()
	wait(t, store) // for the committer
	store.mu.RLock()
	defer store.mu.RUnlock()
	var live growth
	err := store.db.View(func(tx *bolt.Tx) error {
		if all := tx.Bucket(factsBucket); all != nil {
			err := all.ForEachBucket(func(name []byte) error {
				facts, size := count(all.Bucket(name))
				live.add(growth{facts: facts, bytes: size})
				return nil
			})
			if err != nil {
				return err
			}
		}
		if left := orphans(tx.Bucket(recordsBucket)); len(left) > 0 {
			t.Errorf("facts without a record are left: %q", left)
		}
		return tx.Bucket(recordsBucket).ForEach(func(name, record []byte) error {
			live.add(growth{records: 1, bytes: int64(len(name) + len(record))})
			return nil
		})
	})
	known := growth{records: store.records.Load(), facts: store.facts.Load(), bytes: store.live}
	if err != nil || known != live {
		t.Errorf("the store knows of %+v, and the file has %+v (%v)", known, live, err)
	}
}

// manyFacts returns n facts of tags.
func manyFacts(n int) factMap {
	facts := factMap{}
	for i := range n {
		facts[fmt.Sprintf("v1.%d.%d", i/1000, i%1000)] = admission.Fact{Digest: fmt.Sprintf("sha256:%064x", i), Seen: 1_700_000_000, Read: true,
			Created: int64(1_600_000_000 + i), Platforms: []string{"linux/amd64", "linux/arm64"}}
	}
	return facts
}

func TestFactsStay(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		store, reports := opened(t, dir)
		wantWorks(t, store)
		mustPutFacts(t, store, testKey, testFacts())
		wantFacts(t, store, testKey, testFacts())
		wantAccount(t, store)
		if usage, err := store.Usage(); err != nil || usage.Facts != 2 || usage.Records != 1 {
			t.Errorf("Usage() = %+v, %v", usage, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		wantKinds(t, *reports)
	}
}

// TestWithoutFactsNothingIsDifferent makes one file by the store, and one by the
// records alone, each in the same transactions: they are the same, byte for byte.
func TestWithoutFactsNothingIsDifferent(t *testing.T) {
	content, commits := madeBy(t, func(store *Bolt, key Key, s scan.Snapshot) error {
		mustPut(t, store, key, s)
		wantFacts(t, store, key, nil)
		if err := store.PutFacts(t.Context(), Key{}, testFacts()); !errors.Is(err, ErrNotFound) {
			return err
		}
		return errors.Join(store.Delete(t.Context(), numbered(100)), store.PutFacts(t.Context(), key, nil))
	})
	alone, commitsAlone := madeBy(t, func(store *Bolt, key Key, s scan.Snapshot) error {
		return store.update(t.Context(), 0, func(records *bolt.Bucket) (growth, error) {
			return growth{}, records.Put(key.encode(), record(t, key.encode(), s))
		})
	})
	if commits != 200 || commitsAlone != 200 || !bytes.Equal(content, alone) {
		t.Errorf("%d and %d commits made files of %d and %d bytes, which differ", commits, commitsAlone, len(content), len(alone))
	}
}

// madeBy has 200 snapshots put, and returns the file and the number of commits.
func madeBy(t *testing.T, put func(*Bolt, Key, scan.Snapshot) error) ([]byte, int64) {
	t.Helper()
	dir := t.TempDir()
	store, _ := opened(t, dir)
	random := rand.New(rand.NewPCG(19, 19))
	before := store.durable.Load()
	for range 200 {
		if err := put(store, numbered(random.IntN(40)), randomSnapshot(random, random.IntN(300))); err != nil {
			t.Fatal(err)
		}
	}
	commits := store.durable.Load() - before
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return content, commits
}

func TestUnchangedFactsAreNotWritten(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, dir)
	wantWorks(t, store)
	mustPutFacts(t, store, testKey, testFacts())
	before := store.durable.Load()
	mustPutFacts(t, store, testKey, testFacts())
	mustPutFacts(t, store, testKey, factMap{"1": someFact(1)})
	if after := store.durable.Load(); after != before {
		t.Errorf("transaction %d was written after %d", after, before)
	}
	h := holdStore(t, store)
	seen := store.durable.Add(-1) // as while a commit is in flight: it has to wait, and is not written again
	again := h.call(func() error { return store.PutFacts(t.Context(), testKey, testFacts()) })
	h.release()
	if err := <-again; err != nil || store.durable.Load() != seen {
		t.Errorf("PutFacts() = %v, and transaction %d was written", err, store.durable.Load())
	}
}

// TestFewFactsAmongMany writes a few of very many facts, which must not cost what
// all of them cost.
func TestFewFactsAmongMany(t *testing.T) {
	store, _ := opened(t, t.TempDir(), compactingAbove(1<<40))
	mustPut(t, store, testKey, testSnapshot)
	allocated := func(write func()) int64 {
		before := pageBytes(store)
		write()
		return pageBytes(store) - before
	}
	all := allocated(func() { mustPutFacts(t, store, testKey, manyFacts(100_000)) })
	few := factMap{}
	for i := range 50 {
		few[fmt.Sprintf("v1.%d.%d", i*2, i*7)] = someFact(i)
	}
	some := allocated(func() { mustPutFacts(t, store, testKey, few) })
	if some > all/20 || some <= 0 {
		t.Errorf("50 facts took %d bytes of pages, and 100,000 took %d", some, all)
	}
	t.Logf("50 facts took %d bytes of pages, and 100,000 took %d", some, all)
	want := manyFacts(100_000)
	maps.Copy(want, few)
	want["v1.1.1"] = someFact(1)
	if one := allocated(func() { mustPutFacts(t, store, testKey, want) }); one >= some || one <= 0 {
		t.Errorf("one that changed among all took %d bytes of pages", one)
	}
	wantFacts(t, store, testKey, want)
	wantAccount(t, store)
}

// TestMissingTagsAreNotedCheaply has a registry list a half of the tags, again and
// again: the facts themselves are not written for that.
func TestMissingTagsAreNotedCheaply(t *testing.T) {
	store, _ := opened(t, t.TempDir(), compactingAbove(1<<40))
	all := scan.Snapshot{Image: "image"}
	for i := range 10_000 {
		all.Tags = append(all.Tags, fmt.Sprintf("%05d", i))
	}
	all.FirstSeen = make([]int64, len(all.Tags))
	half := scan.Snapshot{Image: "image", Tags: all.Tags[:5000], FirstSeen: all.FirstSeen[:5000]}
	facts := factMap{}
	for i, tag := range all.Tags {
		facts[tag] = someFact(i)
	}
	mustPut(t, store, testKey, all)
	mustPutFacts(t, store, testKey, facts)
	size := store.live
	for range 3 {
		mustPut(t, store, testKey, half)
		wantAccount(t, store)
		if grown := store.live - size; grown > 5000*20 {
			t.Errorf("that 5,000 tags are gone takes %d bytes", grown)
		}
		mustPut(t, store, testKey, all)
		wantAccount(t, store)
		if store.live != size {
			t.Errorf("that they are back takes %d bytes", store.live-size)
		}
	}
	wantFacts(t, store, testKey, facts)
}

// TestFactsAreBounded has more tags than facts are kept.
func TestFactsAreBounded(t *testing.T) {
	const limit = 4
	bounded := func(o *options) { o.maxFacts = limit }
	bolt, _ := opened(t, t.TempDir(), bounded)
	for name, store := range map[string]Store{"bolt": bolt, "memory": NewMemory(bounded)} {
		t.Run(name, func(t *testing.T) {
			four := scan.Snapshot{Image: "image", Tags: []string{"a", "b", "c", "d"}, FirstSeen: make([]int64, 4)}
			facts := factMap{"a": someFact(1), "b": someFact(2), "c": someFact(3), "d": someFact(4)}
			mustPut(t, store, testKey, four)
			mustPutFacts(t, store, testKey, facts)
			for range 2 {
				if err := store.PutFacts(t.Context(), testKey, factMap{"e": someFact(5)}); !errors.Is(err, ErrTooLarge) {
					t.Errorf("PutFacts() of one too many = %v, want ErrTooLarge", err)
				}
				wantFacts(t, store, testKey, facts)
			}
			mustPut(t, store, testKey, scan.Snapshot{Image: "image", Tags: []string{"b", "e"}, FirstSeen: make([]int64, 2)})
			wantFacts(t, store, testKey, facts)
			mustPutFacts(t, store, testKey, factMap{"e": someFact(5)}) // those that are gone make room
			wantFacts(t, store, testKey, factMap{"b": someFact(2), "e": someFact(5)})
		})
	}
	wantAccount(t, bolt)
}

// TestSpaceOfFactsIsGivenBack removes the facts of most objects, whose records are
// small.
func TestSpaceOfFactsIsGivenBack(t *testing.T) {
	dir := t.TempDir()
	store, reports := opened(t, dir, compactingAbove(1<<20))
	facts := manyFacts(3000)
	for i := range 10 {
		mustPut(t, store, numbered(i), testSnapshot)
		mustPutFacts(t, store, numbered(i), facts)
	}
	wantAccount(t, store)
	before := fileSize(t, dir)
	if n, err := store.Sweep(t.Context(), func(k Key) bool { return k == numbered(3) || k == numbered(4) }); n != 8 || err != nil {
		t.Fatalf("Sweep() = %d, %v", n, err)
	}
	other := testSnapshot
	other.Image = "other"
	mustPut(t, store, numbered(3), other)
	wantAccount(t, store)
	if after := fileSize(t, dir); after > before/3 {
		t.Errorf("%d bytes became %d", before, after)
	}
	if len(*reports) == 0 {
		t.Error("the file was not compacted")
	}
	for _, r := range *reports {
		if r.Kind != Compacted {
			t.Error(r)
		}
	}
	wantFacts(t, store, numbered(3), nil)
	wantFacts(t, store, numbered(4), facts)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store, _ = opened(t, dir)
	wantFacts(t, store, numbered(4), facts)
	wantAccount(t, store)
}

// TestFactsShareACommit has facts wait beside all kinds of writes, also of one key,
// and one of them fail.
func TestFactsShareACommit(t *testing.T) {
	h, _ := hold(t)
	before := h.durable.Load()
	results := []<-chan error{h.call(h.putNumbered(0)), h.call(h.putNumbered(1)), h.call(h.putNumbered(2))}
	facts := func(n int, facts factMap) <-chan error {
		return h.call(func() error { return h.update(t.Context(), 1, newPutFacts(numbered(n).encode(), facts, MaxTags).apply) })
	}
	results = append(results, facts(0, factMap{"1": someFact(1)}), facts(1, testFacts()), facts(2, testFacts()),
		h.call(func() error { return h.Delete(t.Context(), numbered(1)) }), facts(0, factMap{"2": someFact(2)}))
	failing := facts(1, testFacts())
	h.release()
	for i, result := range results {
		if err := <-result; err != nil {
			t.Errorf("call %d = %v", i, err)
		}
	}
	if err := <-failing; !errors.Is(err, ErrNotFound) {
		t.Errorf("facts of a key that was removed = %v, want ErrNotFound", err)
	}
	if commits := h.durable.Load() - before; commits != 1 {
		t.Errorf("it took %d commits, want 1", commits)
	}
	wantFacts(t, h, numbered(0), testFacts())
	wantFacts(t, h, numbered(1), nil)
	wantFacts(t, h, numbered(2), testFacts())
	wantAccount(t, h.Bolt)
}
