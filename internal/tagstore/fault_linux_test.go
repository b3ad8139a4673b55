// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tagstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// big returns a snapshot for which a small file has to grow, and memory to be
// mapped anew.
func big(seed uint64) scan.Snapshot {
	random := rand.New(rand.NewPCG(seed, seed))
	tags := make([]string, 20_000)
	for i := range tags {
		tags[i] = fmt.Sprintf("%x", random.Uint64())
	}
	return scan.Next(scan.Snapshot{}, "image", tags, time.Unix(int64(seed), 0))
}

// failing makes the calls of a name on the files that match fail, after the
// first few.
func failing(name string, file func(string) bool, after int, errno syscall.Errno) func(call) syscall.Errno {
	return func(c call) syscall.Errno {
		if c.name != name || c.name != "rename" && !file(c.file) {
			return 0
		}
		if after--; after >= 0 {
			return 0
		}
		return errno
	}
}

func isStore(file string) bool      { return file == fileName }
func isUnfinished(file string) bool { return file == unfinishedName }
func isDir(file string) bool        { return !strings.HasPrefix(file, fileName) }

// bigWrites are writes for which a small file has to grow: what makes one, and what
// expects it to be there.
var bigWrites = map[string]struct {
	write func(t *testing.T, store *Bolt) error
	want  func(t *testing.T, store *Bolt)
}{
	"put": {
		func(t *testing.T, store *Bolt) error { return store.Put(t.Context(), numbered(1), big(1)) },
		func(t *testing.T, store *Bolt) { wantAll(t, store, map[Key]scan.Snapshot{numbered(1): big(1)}) },
	},
	"facts": {
		func(t *testing.T, store *Bolt) error { return store.PutFacts(t.Context(), testKey, manyFacts(20_000)) },
		func(t *testing.T, store *Bolt) { wantFacts(t, store, testKey, manyFacts(20_000)) },
	},
}

// TestFaultsOfWrites has every kind of call that a write makes fail, until the
// fault is taken away. The caller must be told, nothing that was held may be
// lost, a write may not claim what the disk did not confirm, and all must be well
// when the fault is gone.
func TestFaultsOfWrites(t *testing.T) {
	out, err := underFaults(t, t.TempDir(), func(_ string, f *faults) {
		for _, test := range []struct {
			name  string
			after int
			errno syscall.Errno
			want  error
		}{
			{"write", 0, syscall.ENOSPC, ErrNoSpace},
			{"write", 0, syscall.EIO, ErrVolume},
			{"write", 1, syscall.EDQUOT, ErrNoSpace},
			{"write", 3, syscall.EIO, ErrVolume}, // the meta page
			{"fsync", 0, syscall.EIO, ErrVolume},
			{"fsync", 1, syscall.EIO, ErrVolume},
			{"fsync", 2, syscall.ENOSPC, ErrNoSpace}, // after the meta page was written
			{"truncate", 0, syscall.ENOSPC, ErrNoSpace},
			{"truncate", 0, syscall.EFBIG, ErrNoSpace},
			{"mmap", 0, syscall.ENOMEM, syscall.ENOMEM},
		} {
			for write := range bigWrites {
				t.Run(fmt.Sprintf("%s: %s %d %s", write, test.name, test.after, test.errno), func(t *testing.T) {
					faultOfWrite(t, f, write, failing(test.name, isStore, test.after, test.errno), test.want)
				})
			}
		}
	})
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func faultOfWrite(t *testing.T, f *faults, write string, fail func(call) syscall.Errno, want error) {
	f.set(nil)
	dir := t.TempDir()
	store, reports := opened(t, dir)
	wantWorks(t, store)
	before := len(f.since(0))

	f.set(fail)
	for range 2 { // a second try must not say that it is done already
		err := bigWrites[write].write(t, store)
		if err == nil || !errors.Is(err, want) && !strings.Contains(err.Error(), want.Error()) {
			t.Fatalf("a write = %v, want %v", err, want)
		}
	}
	if _, err := OpenBolt(dir, WithLockTimeout(1)); !errors.Is(err, ErrLocked) {
		t.Errorf("the lock was lost: %v", err)
	}
	f.set(nil)
	wantAll(t, store, map[Key]scan.Snapshot{testKey: testSnapshot})
	if err := bigWrites[write].write(t, store); err != nil {
		t.Fatalf("without the fault, a write = %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wantSynced(t, f.since(before))
	again, more := opened(t, dir)
	wantAll(t, again, map[Key]scan.Snapshot{testKey: testSnapshot})
	bigWrites[write].want(t, again)
	wantKinds(t, slices.Concat(*reports, *more))
}

// wantAll expects a store to hold snapshots.
func wantAll(t *testing.T, store *Bolt, want map[Key]scan.Snapshot) {
	t.Helper()
	for key, want := range want {
		if got, err := store.Get(t.Context(), key); err != nil || !got.Equal(want) {
			t.Errorf("Get(%s) = %d tags, %v", key, len(got.Tags), err)
		}
	}
}

// wantSynced expects that nothing was written to the store after the last fsync.
func wantSynced(t *testing.T, made []call) {
	t.Helper()
	synced := false
	for _, c := range made {
		if isStore(c.file) && (c.name == "write" || c.name == "fsync") {
			synced = c.name == "fsync"
		}
	}
	if !synced {
		t.Errorf("the last write was not synced: %v", made)
	}
}

// TestFaultsOfCompaction has every step of a compaction fail.
func TestFaultsOfCompaction(t *testing.T) {
	out, err := underFaults(t, t.TempDir(), func(_ string, f *faults) {
		for _, test := range []struct {
			name  string
			file  func(string) bool
			after int
			errno syscall.Errno
			want  ReportKind
		}{
			{"write", isUnfinished, 0, syscall.ENOSPC, CompactionFailed},
			{"write", isUnfinished, 2, syscall.ENOSPC, CompactionFailed},
			{"mmap", isUnfinished, 0, syscall.ENOMEM, CompactionFailed},
			{"fsync", isUnfinished, 0, syscall.EIO, CompactionFailed},
			{"read", isUnfinished, 0, syscall.EIO, CompactionFailed},
			{"rename", nil, 0, syscall.EIO, CompactionFailed},
			{"fsync", isDir, 0, syscall.EIO, Compacted},
		} {
			t.Run(fmt.Sprintf("%s %d %s %s", test.name, test.after, test.errno, test.want), func(t *testing.T) {
				faultOfCompaction(t, f, failing(test.name, test.file, test.after, test.errno), test.want)
			})
		}
	})
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func faultOfCompaction(t *testing.T, f *faults, fail func(call) syscall.Errno, want ReportKind) {
	f.set(nil)
	dir := t.TempDir()
	store, reports := opened(t, dir, compactingAbove(1<<30))
	for n := range 4 {
		if err := store.Put(t.Context(), numbered(n), big(uint64(n))); err != nil {
			t.Fatal(err)
		}
	}
	mustPutFacts(t, store, numbered(0), testFacts())
	f.set(fail)
	_, err := store.remove(t.Context(), func(*bolt.Bucket) [][]byte {
		store.options.compactAbove = 100 << 10 // from now on
		return [][]byte{numbered(1).encode(), numbered(2).encode(), numbered(3).encode()}
	})
	if err != nil {
		t.Fatal(err)
	}
	err = store.Delete(t.Context(), testKey) // waits until the compaction is over
	if err == nil == (want == Compacted) {   // while the directory is not synced, nothing may be written
		t.Errorf("during the fault, Delete() = %v", err)
	}
	if _, err := OpenBolt(dir, WithLockTimeout(1)); !errors.Is(err, ErrLocked) {
		t.Errorf("the lock was lost: %v", err)
	}
	f.set(nil)
	wantWorks(t, store)
	wantLeft(t, dir, store, *reports, want)
	// When it is opened again, nothing is in the way of what failed before.
	store, reports = opened(t, dir, compactingAbove(100<<10))
	if want == CompactionFailed {
		wantLeft(t, dir, store, *reports, Compacted)
	} else {
		wantLeft(t, dir, store, *reports)
	}
}

// wantLeft expects what the sweep kept, closes the store, and expects its file
// and no other.
func wantLeft(t *testing.T, dir string, store *Bolt, reports []Report, want ...ReportKind) {
	t.Helper()
	if got, err := store.Get(t.Context(), numbered(0)); err != nil || !got.Equal(big(0)) {
		t.Errorf("what was kept is lost: %v", err)
	}
	wantFacts(t, store, numbered(0), testFacts())
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	wantKinds(t, reports, want...)
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 1 {
		t.Errorf("the directory has %v (%v)", files, err)
	}
}
