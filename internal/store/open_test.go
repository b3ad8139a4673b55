// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestRestart_KeepsAllThatIsHeld opens a folder again and again, whose path has what a
// pattern would take for its own.
func TestRestart_KeepsAllThatIsHeld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by the store [1]")
	for round := range 3 {
		tags, reports := opened(t, dir)
		for name, s := range realSnapshots(t) {
			key := Key{"ns", name, "uid"}
			if round > 0 {
				wantHeld(t, tags, key, s)
				wantFacts(t, tags, key, testFacts())
			}
			mustPut(t, tags, key, s)
			mustPutFacts(t, tags, key, testFacts())
		}
		closed(t, tags)
		wantKinds(t, *reports)
	}
	for path, want := range map[string]os.FileMode{
		".": 0o700, lockName: 0o600, "ns": 0o700, "ns/golang": 0o700, "ns/golang/uid": 0o600, "ns/golang/uid.facts": 0o600,
	} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v (%v), want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

// TestRestart_ReadsNoFiles opens a folder with 10,000 objects, whose files are damaged: one
// that is read is set aside.
func TestRestart_ReadsNoFiles(t *testing.T) {
	dir := t.TempDir()
	tags, _ := opened(t, dir)
	wantWorks(t, tags)
	content := readFile(t, filepath.Join(dir, "ns/repo/uid"))
	closed(t, tags)
	const objects = 10_000
	for n := range objects {
		write(t, filepath.Join(dir, "many", numbered(n).Name, "uid"), content) // of another object, so it would be set aside
	}
	start := time.Now()
	tags, reports := opened(t, dir)
	keys, err := tags.Keys(t.Context())
	t.Logf("it took %s to open a store of %d objects", time.Since(start), len(keys))
	if err != nil || len(keys) != objects+1 {
		t.Errorf("Keys() = %d keys, %v", len(keys), err)
	}
	wantKinds(t, *reports)
	wantHeld(t, tags, testKey, testSnapshot)
}

func TestUnchanged_IsNotWritten(t *testing.T) {
	dir := t.TempDir()
	tags, _ := opened(t, dir)
	wantWorks(t, tags)
	before := files(t, dir)
	wantWorks(t, tags)
	mustPutFacts(t, tags, testKey, factMap{"1": someFact(1)})
	if err := tags.Delete(t.Context(), Key{"ns", "other", "uid"}); err != nil {
		t.Fatal(err)
	}
	if after := files(t, dir); !maps.Equal(after, before) {
		t.Errorf("files were written: %v became %v", before, after)
	}
}

func TestDelete_LeavesNothing(t *testing.T) {
	dir := t.TempDir()
	tags, _ := opened(t, dir)
	wantWorks(t, tags)
	for _, suffix := range []string{".corrupt", ".facts.corrupt", ".unfinished", ".facts.unfinished"} {
		write(t, filepath.Join(dir, "ns/repo/uid"+suffix), nil)
	}
	if err := tags.Delete(t.Context(), testKey); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != lockName {
		t.Errorf("the folder has %v (%v)", entries, err)
	}
	wantWorks(t, tags)
}

// TestUnfinished_IsRemovedByAStart has what a process leaves that is killed while it writes.
func TestUnfinished_IsRemovedByAStart(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ns/repo/uid.unfinished"), []byte("half of"))
	write(t, filepath.Join(dir, "ns/repo/uid.facts.unfinished"), nil)
	tags, reports := opened(t, dir)
	wantWorks(t, tags)
	wantKinds(t, *reports)
	if left := files(t, dir); len(left) != 2 {
		t.Errorf("the folder has %v", left)
	}
}

// TestForeign_IsLeftAlone has folders and files of others in the storage, and removes all
// that the store has.
func TestForeign_IsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	reported := []string{"000001.vlog", "000002.sst", "00001.mem", "MANIFEST", "KEYREGISTRY", "DISCARD",
		"tags.db", "tags.db.corrupt-1", "tags.db.unfinished"}
	others := []string{
		"lost+found/1/2", "file", "folder/file", ".snapshot/daily/1", "README.md",
		"gitrepository/flux-system/flux-system/0a1b.tar.gz", "gitrepository/flux-system/flux-system/0a1b.tar.gz.lock",
		"ocirepository/apps/web/sha256/digest", "ns/repo/uid.txt", "ns/repo/UID", "ns/Repo/uid", "ns/repo/uid.facts.old",
	}
	for _, name := range slices.Concat(reported, others, []string{"backups/of/yesterday"}) {
		write(t, filepath.Join(dir, name), []byte("not of the store"))
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	tags, reports := opened(t, dir)
	wantWorks(t, tags)
	var want []string
	for _, name := range reported {
		want = append(want, filepath.Join(dir, name))
	}
	if got := (*reports)[0].Paths; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("%v is reported, want %v", got, want)
	}
	keys, err := tags.Keys(t.Context())
	if err != nil || !slices.Equal(keys, []Key{{"backups", "of", "yesterday"}, testKey}) {
		t.Errorf("Keys() = %v, %v", keys, err)
	}
	for _, key := range keys {
		if err := tags.Delete(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if after := files(t, dir); !maps.Equal(after, before) {
		t.Errorf("files are %v, and were %v", after, before)
	}
	wantKinds(t, *reports, LeftoversFound, LeftoversFound)
}

// TestFolder_ThatIsNoneOrMayNotBeUsed has what an administrator may get wrong.
func TestFolder_ThatIsNoneOrMayNotBeUsed(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), nil)
	write(t, filepath.Join(dir, "taken", lockName, "file"), nil)
	for path, want := range map[string]error{"file": syscall.ENOTDIR, "taken": syscall.EISDIR} {
		tags := New(filepath.Join(dir, path), Options{})
		for range 2 {
			if err := tags.Put(t.Context(), testKey, testSnapshot); !errors.Is(err, want) {
				t.Errorf("Put() in %q = %v, want %v", path, err, want)
			}
		}
		closed(t, tags)
	}
	tags, _ := opened(t, filepath.Join(dir, "used"))
	write(t, filepath.Join(dir, "used", "blocked"), nil)
	if err := tags.Put(t.Context(), Key{"blocked", "a", "1"}, testSnapshot); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("Put() where a file is in the way = %v", err)
	}
	wantWorks(t, tags)
}

func TestLock_IsHeldByOneStore(t *testing.T) {
	dir := t.TempDir()
	first, _ := opened(t, dir)
	second := New(dir, Options{})
	second.patience = 10 * time.Millisecond
	for range 2 { // the process ends by the first error, and does not try again
		if _, err := second.Keys(t.Context()); !errors.Is(err, ErrLocked) {
			t.Fatalf("Keys() of a folder in use = %v, want ErrLocked", err)
		}
	}
	closed(t, second)
	time.AfterFunc(100*time.Millisecond, func() { _ = first.Close() })
	third, _ := opened(t, dir)
	wantWorks(t, third)
}

// TestOpening_IsDoneByTheFirstUse shows that a replica which stands by neither makes nor
// locks the folder, and finds what the leader left once it uses it.
func TestOpening_IsDoneByTheFirstUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	standby := New(dir, Options{})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := standby.Keys(over); !errors.Is(err, context.Canceled) {
		t.Errorf("Keys() = %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made (%v)", err)
	}
	leader, _ := opened(t, dir)
	wantWorks(t, leader)
	closed(t, leader)
	wantHeld(t, standby, testKey, testSnapshot)
	closed(t, standby)

	unused := New(filepath.Join(dir, "unused"), Options{})
	closed(t, unused)
	if _, err := unused.Keys(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Keys() = %v", err)
	}
}

// TestOpening_ThatWaits shows that neither a caller nor Close waits as long as another
// process has the folder, and that a store stays open though its first caller is gone.
func TestOpening_ThatWaits(t *testing.T) {
	dir := t.TempDir()
	holder, _ := opened(t, dir)
	waiting := New(dir, Options{})
	waiting.patience = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := waiting.Keys(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Keys() = %v", err)
	}
	start := time.Now()
	closed(t, waiting)
	closed(t, waiting)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("Close() took %s", took)
	}
	if _, err := waiting.Keys(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Keys() = %v", err)
	}

	patient := New(dir, Options{})
	patient.patience = time.Minute
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := patient.Keys(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Keys() = %v", err)
	}
	closed(t, holder)
	wantWorks(t, patient)
	closed(t, patient)
}
