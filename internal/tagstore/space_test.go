// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// fill puts n snapshots, and waits for the disk but once.
func fill(t *testing.T, store *Bolt, n, tags int) {
	t.Helper()
	store.db.NoSync = true
	random := rand.New(rand.NewPCG(3, 3))
	for i := range n {
		if err := store.Put(t.Context(), numbered(i), randomSnapshot(random, tags)); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, store)
	store.db.NoSync = false
	if err := store.db.Sync(); err != nil {
		t.Fatal(err)
	}
}

func randomSnapshot(random *rand.Rand, n int) scan.Snapshot {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("%x", random.Uint64())
	}
	return scan.Next(scan.Snapshot{}, "image", tags, time.Unix(1, 0))
}

// wait returns when the committer has done what it does after a commit.
func wait(t testing.TB, store *Bolt) {
	t.Helper()
	_, err := store.remove(t.Context(), func(*bolt.Bucket) [][]byte { return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func fileSize(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestSpaceIsGivenBack removes every other of ten thousand snapshots: of two
// kilobytes, which have pages of their own, and small ones, of which none has.
func TestSpaceIsGivenBack(t *testing.T) {
	t.Run("large", func(t *testing.T) { testSpaceIsGivenBack(t, 150, compactAbove) })
	t.Run("small", func(t *testing.T) { testSpaceIsGivenBack(t, 2, 1<<20) })
}

// testSpaceIsGivenBack removes snapshots while others are read all the time.
func testSpaceIsGivenBack(t *testing.T, tags int, above int64) {
	const n = 10_000
	dir := t.TempDir()
	store, reports := opened(t, dir, compactingAbove(above))
	fill(t, store, n, tags)
	stop := readAlways(t, store)
	before := fileSize(t, dir)
	gone, err := store.Sweep(t.Context(), func(k Key) bool { return k.Name[len(k.Name)-1]%2 == 0 })
	if err != nil || gone != n/2 {
		t.Fatalf("Sweep() = %d, %v", gone, err)
	}
	wait(t, store)
	half := fileSize(t, dir)
	if half > before*6/10 {
		t.Errorf("after half was removed, the file has %d bytes, was %d", half, before)
	}
	stop()
	wantKinds(t, *reports, Compacted)
	usage, err := store.Usage()
	if err != nil || usage.Records != n/2 || usage.Size != half || usage.Free > half/2 {
		t.Errorf("Usage() = %+v, %v", usage, err)
	}
	t.Logf("%d bytes became %d, by %d compactions", before, half, len(*reports))
}

// readAlways reads the first hundred even keys until it is stopped, and expects
// to find them.
func readAlways(t *testing.T, store *Bolt) func() {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i = (i + 2) % 100 {
			if _, err := store.Get(context.Background(), numbered(i)); err != nil {
				t.Errorf("a reader got %v", err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	return func() { close(stop); <-stopped }
}

// TestSpaceIsGivenBackAtOpen opens a file that another program left half empty.
func TestSpaceIsGivenBackAtOpen(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, dir, compactingAbove(1<<40))
	fill(t, store, 1000, 150)
	if _, err := store.Sweep(t.Context(), func(k Key) bool { return k == numbered(7) }); err != nil {
		t.Fatal(err)
	}
	want, err := store.Get(t.Context(), numbered(7))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, dir, unfinishedName, []byte("of a process that was killed"))
	before := fileSize(t, dir)
	store, reports := opened(t, dir, compactingAbove(1<<20))
	if got, err := store.Get(t.Context(), numbered(7)); err != nil || !got.Equal(want) {
		t.Errorf("what was kept is lost: %v", err)
	}
	wantKinds(t, *reports, Compacted)
	if freed := (*reports)[0].Freed; freed != before-fileSize(t, dir) || freed < before/2 {
		t.Errorf("%d of %d bytes were given back, by the report", freed, before)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 1 {
		t.Errorf("the directory has %v (%v)", files, err)
	}
}

// TestSmallFilesStayAsTheyAre has too little to give back.
func TestSmallFilesStayAsTheyAre(t *testing.T) {
	dir := t.TempDir()
	store, reports := opened(t, dir)
	fill(t, store, 500, 150)
	before := fileSize(t, dir)
	if _, err := store.Sweep(t.Context(), func(Key) bool { return false }); err != nil {
		t.Fatal(err)
	}
	wait(t, store)
	wantKinds(t, *reports)
	if after := fileSize(t, dir); after != before || before > compactAbove {
		t.Errorf("a file of %d bytes has %d after a sweep", before, after)
	}
}

// TestFileStaysInProportionToFacts puts some of many facts again and again.
func TestFileStaysInProportionToFacts(t *testing.T) {
	const tags, rounds, some, times = 5000, 300, 50, 4
	dir := t.TempDir()
	store, reports := opened(t, dir, compactingAbove(1<<40))
	store.db.NoSync = true // it is about size, and would take minutes
	wantWorks(t, store)
	random := rand.New(rand.NewPCG(23, 23))
	most := int64(0)
	for range rounds {
		facts := factMap{}
		for range some {
			n := random.IntN(tags)
			facts[fmt.Sprint(n)] = someFact(random.IntN(1000))
		}
		mustPutFacts(t, store, testKey, facts)
		wait(t, store)
		most = max(most, store.live)
	}
	if size := fileSize(t, dir); size > times*most+allocSize {
		t.Errorf("for at most %d bytes of facts, the file has %d", most, size)
	} else {
		t.Logf("for at most %d bytes of facts, the file has %d", most, size)
	}
	wantKinds(t, *reports)
	wantAccount(t, store)
}

// TestFileStaysInProportion rewrites all snapshots 200 times with others, of
// other sizes, without any compaction: pages are used again.
func TestFileStaysInProportion(t *testing.T) {
	const keys, rounds, times = 20, 200, 4
	dir := t.TempDir()
	store, reports := opened(t, dir, compactingAbove(1<<40))
	store.db.NoSync = true // it is about size, and would take minutes
	random := rand.New(rand.NewPCG(17, 17))
	most := int64(0)
	for range rounds {
		live := int64(0)
		for i := range keys {
			p := &put{name: numbered(i).encode(), snapshot: randomSnapshot(random, random.IntN(600))}
			p.payload = encodePayload(p.snapshot)
			record, err := encodeRecord(p.name, p.snapshot, p.payload)
			if err != nil {
				t.Fatal(err)
			}
			p.record = record
			live += int64(len(record))
			if err := store.update(t.Context(), len(record), p.apply); err != nil {
				t.Fatal(err)
			}
		}
		most = max(most, live)
	}
	if size := fileSize(t, dir); size > times*most+allocSize {
		t.Errorf("for at most %d bytes of records, the file has %d", most, size)
	} else {
		t.Logf("for at most %d bytes of records, the file has %d", most, size)
	}
	wantKinds(t, *reports)
}
