// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"errors"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// TestOlderProgramWasHere has a program that knows no facts remove a record,
// change an image, and put a record of version 1.
func TestOlderProgramWasHere(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, dir)
	removed, changed, kept := numbered(1), numbered(2), numbered(3)
	for _, key := range []Key{removed, changed, kept} {
		mustPut(t, store, key, testSnapshot)
		mustPutFacts(t, store, key, testFacts())
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	other := testSnapshot
	other.Image = "other"
	withBolt(t, dir, func(tx *bolt.Tx) error {
		records := tx.Bucket(recordsBucket)
		return errors.Join(records.Delete(removed.encode()), records.Put(changed.encode(), record(t, changed.encode(), other)))
	})
	store, reports := opened(t, dir)
	wantFacts(t, store, removed, nil)
	wantFacts(t, store, changed, nil)
	wantFacts(t, store, kept, testFacts())
	if n, err := store.Sweep(t.Context(), func(Key) bool { return true }); n != 0 || err != nil {
		t.Errorf("Sweep() = %d, %v", n, err)
	}
	if usage, err := store.Usage(); err != nil || usage.Facts != 4 {
		t.Errorf("after a sweep, Usage() = %+v, %v", usage, err)
	}
	mustPutFacts(t, store, changed, factMap{"1": someFact(7)})
	wantFacts(t, store, changed, factMap{"1": someFact(7)})
	wantAccount(t, store)
	before := store.durable.Load()
	if _, err := store.Sweep(t.Context(), func(Key) bool { return true }); err != nil || store.durable.Load() != before {
		t.Errorf("a sweep of nothing was written (%v)", err)
	}
	wantKinds(t, *reports)
}

// TestFactsOfAKeyThatIsMadeAnew has a program that knows no facts remove a record
// which comes back before any sweep.
func TestFactsOfAKeyThatIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, dir)
	mustPut(t, store, testKey, testSnapshot)
	mustPutFacts(t, store, testKey, testFacts())
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	withBolt(t, dir, func(tx *bolt.Tx) error { return tx.Bucket(recordsBucket).Delete(testKey.encode()) })
	store, _ = opened(t, dir)
	mustPut(t, store, testKey, testSnapshot)
	wantFacts(t, store, testKey, nil)
	wantAccount(t, store)
}

// TestDamagedFacts changes single entries: the rest is still there.
func TestDamagedFacts(t *testing.T) {
	for name, test := range map[string]struct {
		key  []byte
		want factMap
	}{
		"a fact":   {entryKey(factEntry, "1"), factMap{"2": someFact(2)}},
		"the head": {[]byte{headEntry}, nil},
	} {
		for change, damage := range map[string]func([]byte) []byte{
			"a bit":          func(entry []byte) []byte { entry[len(entry)-1] ^= 1; return entry },
			"version":        func(entry []byte) []byte { entry[0]++; return entry },
			"version before": func(entry []byte) []byte { entry[0] = entryVersion - 1; return entry },
			"cut":            func(entry []byte) []byte { return entry[:3] },
			"empty":          func([]byte) []byte { return nil },
		} {
			t.Run(name+", "+change, func(t *testing.T) { testDamagedFacts(t, test.key, damage, test.want) })
		}
	}
}

func testDamagedFacts(t *testing.T, key []byte, damage func([]byte) []byte, want factMap) {
	dir := t.TempDir()
	store, _ := opened(t, dir)
	mustPut(t, store, testKey, testSnapshot)
	mustPutFacts(t, store, testKey, testFacts())
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	withBolt(t, dir, func(tx *bolt.Tx) error {
		bucket := tx.Bucket(factsBucket).Bucket(testKey.encode())
		return bucket.Put(key, damage(bytes.Clone(bucket.Get(key))))
	})
	store, reports := opened(t, dir)
	for range 3 {
		wantFacts(t, store, testKey, want)
		if got, err := store.Fact(t.Context(), testKey, "1"); err != nil || len(got) > 0 {
			t.Errorf("Fact() = %v, %v", got, err)
		}
	}
	wantKinds(t, *reports, FactsDamaged)
	if got := (*reports)[0].Key; got != testKey {
		t.Errorf("the report is about %s", got)
	}
	mustPutFacts(t, store, testKey, testFacts())
	wantFacts(t, store, testKey, testFacts())
	wantKinds(t, *reports, FactsDamaged)
	if _, told := store.reported.Load(reported{FactsDamaged, string(testKey.encode())}); told {
		t.Error("damage of what was replaced would not be reported")
	}
}

// TestDamagedMarkIsMadeAnew has the note damaged since when a tag is gone.
func TestDamagedMarkIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_700_000_000, 0)
	clock := WithClock(func() time.Time { return now })
	store, _ := opened(t, dir, clock)
	change := func(tag string) {
		t.Helper()
		mustPut(t, store, testKey, scan.Snapshot{Image: "image", Tags: []string{tag}, FirstSeen: []int64{0}})
	}
	change("1")
	mustPutFacts(t, store, testKey, factMap{"1": someFact(1)})
	change("2")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	withBolt(t, dir, func(tx *bolt.Tx) error {
		return tx.Bucket(factsBucket).Bucket(testKey.encode()).Put(entryKey(goneEntry, "1"), []byte("damage"))
	})
	store, _ = opened(t, dir, clock)
	now = now.Add(2 * FactGrace)
	change("3")
	wantFacts(t, store, testKey, factMap{"1": someFact(1)}) // from now on
	now = now.Add(FactGrace + time.Second)
	change("4")
	wantFacts(t, store, testKey, nil)
}

// TestNoBucketInPlaceOfFacts has a value where facts of an object should be, and
// one where all facts should be.
func TestNoBucketInPlaceOfFacts(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, dir)
	mustPut(t, store, testKey, testSnapshot)
	mustPut(t, store, numbered(1), testSnapshot)
	mustPutFacts(t, store, numbered(1), testFacts())
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	withBolt(t, dir, func(tx *bolt.Tx) error { return tx.Bucket(factsBucket).Put(testKey.encode(), []byte("else")) })
	store, reports := opened(t, dir)
	wantFacts(t, store, testKey, nil)
	mustPutFacts(t, store, testKey, testFacts())
	wantFacts(t, store, testKey, testFacts())
	wantKinds(t, *reports)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	withBolt(t, dir, func(tx *bolt.Tx) error {
		// bbolt's own keys of buckets can't be replaced by values, so a file without facts is made to have one
		return errors.Join(tx.DeleteBucket(factsBucket), tx.Cursor().Bucket().Put(factsBucket, []byte("else")))
	})
	_, reports = opened(t, dir)
	wantKinds(t, *reports, FileSetAside)
}
