// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// wantSafe opens a file of any content and uses the store. It must not crash,
// and must not return a snapshot that was never put; whether it still finds one
// is left to it. (An older one is all that can be had where the latest meta page
// is gone.) It returns how many snapshots it found to be the latest.
func wantSafe(t testing.TB, content []byte, wrote written) int {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, fileName, content)
	store, _ := opened(t, dir)
	found := countLatest(t, store, wrote)
	wantUsable(t, store, wrote)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return found
}

// countLatest reads all snapshots, and returns how many are the latest that was
// put. The others must be older ones or missing.
func countLatest(t testing.TB, store *Bolt, wrote written) int {
	t.Helper()
	found := 0
	for key := range wrote {
		got, err := store.Get(t.Context(), key)
		if err == nil && !slices.ContainsFunc(wrote[key], got.Equal) || err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatalf("Get(%s) = %d tags, %v", key, len(got.Tags), err)
		}
		if err == nil && got.Equal(wrote.latest(key)) {
			found++
		}
		wantTrueFacts(t, store, key)
	}
	return found
}

// wantUsable puts, gets and removes all snapshots.
func wantUsable(t testing.TB, store *Bolt, wrote written) {
	t.Helper()
	for key := range wrote {
		if err := store.Put(t.Context(), key, wrote.latest(key)); err != nil {
			t.Fatalf("Put(%s) = %v", key, err)
		}
		wantFactsUsable(t, store, key)
	}
	for key := range wrote {
		if got, err := store.Get(t.Context(), key); err != nil || !got.Equal(wrote.latest(key)) {
			t.Fatalf("after a Put, Get(%s) = %v", key, err)
		}
	}
	if _, err := store.Sweep(t.Context(), func(Key) bool { return false }); err != nil {
		t.Fatalf("Sweep() = %v", err)
	}
	if keys, err := store.Keys(t.Context()); err != nil || len(keys) > 0 {
		t.Fatalf("after a sweep of all, Keys() = %v, %v", keys, err)
	}
	if usage, err := store.Usage(); err != nil || usage.Facts != 0 {
		t.Fatalf("after a sweep of all, Usage() = %+v, %v", usage, err)
	}
}

// wantFactsUsable puts and gets facts of some keys: each write waits for the disk.
func wantFactsUsable(t testing.TB, store *Bolt, key Key) {
	t.Helper()
	if !strings.HasSuffix(key.Name, "0") && !strings.HasSuffix(key.Name, "5") {
		return
	}
	mustPutFacts(t, store, key, damageFacts(50, 60))
	if found := wantTrueFacts(t, store, key); found < 10 {
		t.Fatalf("after PutFacts(%s), %d facts are found", key, found)
	}
}

func TestIntactFile(t *testing.T) { bothPopulated(t, testIntactFile) }

func testIntactFile(t *testing.T, content []byte, wrote written) {
	if found := wantSafe(t, content, wrote); found != len(wrote) {
		t.Errorf("%d of %d snapshots were found", found, len(wrote))
	}
	if err := checkPages(bytes.NewReader(content), int64(len(content))); err != nil {
		t.Error(err)
	}
}

// TestHealthyFilesPass checks the file after every one of many changes: a check
// that errs on healthy files would lose what they hold.
func TestHealthyFilesPass(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, dir)
	store.db.NoSync = true // as the test is about content, and would take minutes
	random := rand.New(rand.NewPCG(13, 13))
	for round := range 600 {
		changeAtRandom(t, store, random)
		content, err := os.ReadFile(filepath.Join(dir, fileName))
		if err != nil {
			t.Fatal(err)
		}
		if err := checkPages(bytes.NewReader(content), int64(len(content))); err != nil {
			t.Fatalf("after round %d: %v", round, err)
		}
	}
}

// changeAtRandom puts one key, or deletes one, or rarely many at once. Keys are
// long and many, for branches of more than one level.
func changeAtRandom(t *testing.T, store *Bolt, random *rand.Rand) {
	t.Helper()
	key := Key{"namespace", fmt.Sprintf("%0200d", random.IntN(600)), "uid"}
	var err error
	switch action := random.IntN(100); {
	case action == 0:
		rest := random.IntN(4)
		_, err = store.Sweep(t.Context(), func(Key) bool { return random.IntN(4) < rest })
	case action < 20:
		err = store.Delete(t.Context(), key)
	case action < 40:
		facts := factMap{}
		for range random.IntN(6) * random.IntN(6) * random.IntN(6) {
			facts[fmt.Sprintf("%0100d", random.IntN(1000))] = someFact(random.IntN(1000))
		}
		if err = store.PutFacts(t.Context(), key, facts); errors.Is(err, ErrNotFound) {
			err = nil
		}
	default:
		tags := make([]string, random.IntN(10)*random.IntN(10)*random.IntN(10))
		for i := range tags {
			tags[i] = fmt.Sprintf("%x", random.Uint64())
		}
		err = store.Put(t.Context(), key, scan.Next(scan.Snapshot{}, "image", tags, time.Unix(1, 0)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTruncatedFile(t *testing.T) { bothPopulated(t, testTruncatedFile) }

func testTruncatedFile(t *testing.T, content []byte, wrote written) {
	lengths := []int{1, 15, 16, 79, 80, 4095, 4096, 4097, 8191, 8192, 3 * 4096, 4 * 4096, 4*4096 + 1, len(content) - 1}
	random := rand.New(rand.NewPCG(7, 7))
	for range 15 {
		lengths = append(lengths, random.IntN(len(content)))
	}
	for _, n := range lengths {
		wantSafe(t, content[:n], wrote)
	}
}

// TestFlippedBytes changes single bytes: some anywhere, and some in the headers
// of pages and in their elements, which bbolt trusts.
func TestFlippedBytes(t *testing.T) { bothPopulated(t, testFlippedBytes) }

func testFlippedBytes(t *testing.T, content []byte, wrote written) {
	random := rand.New(rand.NewPCG(11, 11))
	for i := range 60 {
		offset := random.IntN(len(content))
		if i%2 == 0 {
			offset = offset&^4095 + random.IntN(100)
		}
		flipped := bytes.Clone(content)
		flipped[offset] ^= byte(1 + random.IntN(255))
		wantSafe(t, flipped, wrote)
	}
}

// TestZeroedPages clears whole pages, as a disk does that lost a write.
func TestZeroedPages(t *testing.T) { bothPopulated(t, testZeroedPages) }

func testZeroedPages(t *testing.T, content []byte, wrote written) {
	pages := len(content) / 4096
	for page := range pages {
		if page >= 8 && page%(1+pages/10) != 0 { // the first ones are those that matter most
			continue
		}
		torn := bytes.Clone(content)
		clear(torn[page*4096 : (page+1)*4096])
		wantSafe(t, torn, wrote)
	}
}

func TestDamagedRecord(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, dir)
	wantWorks(t, store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	withBolt(t, dir, func(tx *bolt.Tx) error {
		records := tx.Bucket(recordsBucket)
		r := bytes.Clone(records.Get(testKey.encode()))
		r[len(r)-1] ^= 1
		return errors.Join(records.Put(testKey.encode(), r), records.Put([]byte("\xffno key"), r))
	})
	store, reports := opened(t, dir)
	for range 3 {
		if _, err := store.Get(t.Context(), testKey); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get() of a damaged record = %v, want ErrNotFound", err)
		}
	}
	wantKinds(t, *reports, RecordDamaged)
	if got := (*reports)[0].Key; got != testKey {
		t.Errorf("the report is about %s", got)
	}
	wantWorks(t, store)
	if n, err := store.Sweep(t.Context(), func(Key) bool { return true }); n != 1 || err != nil {
		t.Errorf("Sweep() with one malformed key = %d, %v", n, err)
	}
	wantWorks(t, store)
}

// TestFileCutWhileOpen takes away what bbolt has mapped: reads of it are faults.
func TestFileCutWhileOpen(t *testing.T) {
	dir := t.TempDir()
	store, reports := opened(t, dir)
	for name, s := range realSnapshots(t) {
		if err := store.Put(t.Context(), Key{"ns", name, "uid"}, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, fileName), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := store.Get(t.Context(), Key{"ns", "golang", "uid"}); !errors.Is(err, ErrDamaged) {
			t.Errorf("Get() = %v, want ErrDamaged", err)
		}
		if err := store.Put(t.Context(), testKey, testSnapshot); !errors.Is(err, ErrDamaged) {
			t.Errorf("Put() = %v, want ErrDamaged", err)
		}
	}
	wantKinds(t, *reports, FileDamaged)
	if err := store.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	again, _ := opened(t, dir)
	wantWorks(t, again)
}

// FuzzCheckPages changes bytes of a file. Where the check finds nothing, bbolt
// must get along with what is there.
func FuzzCheckPages(f *testing.F) {
	content, wrote := populated(f)
	fuzzPages(f, content, wrote)
}

// FuzzCheckPagesOfFacts is the same for buckets in buckets.
func FuzzCheckPagesOfFacts(f *testing.F) {
	content, wrote := populatedWithFacts(f)
	fuzzPages(f, content, wrote)
}

func fuzzPages(f *testing.F, content []byte, wrote written) {
	f.Add(uint32(0), uint64(1), uint32(4096), uint64(1)<<63)
	f.Add(uint32(12441), uint64(3), uint32(16457), uint64(9)) // a leaf whose first key is not its branch's
	f.Add(uint32(4096*3+8), uint64(3), uint32(4096*4+20), uint64(9))
	f.Fuzz(func(t *testing.T, at uint32, mask uint64, at2 uint32, mask2 uint64) {
		changed := bytes.Clone(content)
		for i, at := range []uint32{at, at2} {
			here := changed[int(at)%(len(changed)-8):]
			native.PutUint64(here, native.Uint64(here)^[]uint64{mask, mask2}[i])
		}
		wantSafe(t, changed, wrote)
	})
}
