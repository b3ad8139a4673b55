// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// TestRestart_KeepsSnapshotsAndFacts opens a folder repeatedly. Its path contains characters with a
// meaning in patterns.
func TestRestart_KeepsSnapshotsAndFacts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by the store [1]")
	for round := range 3 {
		tags, reports := openStore(t, dir)
		for name, s := range realSnapshots(t) {
			key := Key{"ns", name, "uid"}
			if round > 0 {
				wantStored(t, tags, key, s)
				wantFacts(t, tags, key, testFacts())
			}
			mustPut(t, tags, key, s)
			mustPutFacts(t, tags, key, testFacts())
		}
		closeStore(t, tags)
		wantKinds(t, *reports)
	}
	for path, want := range map[string]os.FileMode{
		".": 0o700, lockFile: 0o600, "ns": 0o700, "ns/golang": 0o700, "ns/golang/uid": 0o600, "ns/golang/uid.facts": 0o600,
	} {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v (%v), want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

// TestRestart_ReadsNoFiles opens a folder with 10,000 objects with damaged files. Reading one would
// set it aside.
func TestRestart_ReadsNoFiles(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	tags, _ := openStore(t, dir)
	wantWorks(t, tags)
	content := readFile(t, filepath.Join(dir, "ns/repo/uid"))
	closeStore(t, tags)
	const objects = 10_000
	for n := range objects {
		writeFile(t, filepath.Join(dir, "many", numberedKey(n).Name, "uid"), content) // belongs to another object and would be set aside
	}
	start := time.Now()
	tags, reports := openStore(t, dir)
	keys, err := tags.Keys(t.Context())
	t.Logf("opening a store of %d objects took %s", len(keys), time.Since(start))
	g.Expect(err).NotTo(HaveOccurred(), "Keys()")
	g.Expect(keys).To(HaveLen(objects+1), "Keys()")
	wantKinds(t, *reports)
	wantStored(t, tags, testKey, testSnapshot)
}

func TestPut_SkipsUnchangedData(t *testing.T) {
	dir := t.TempDir()
	tags, _ := openStore(t, dir)
	wantWorks(t, tags)
	before := files(t, dir)
	wantWorks(t, tags)
	mustPutFacts(t, tags, testKey, factMap{"1": testFact(1)})
	NewWithT(t).Expect(tags.Delete(t.Context(), Key{"ns", "other", "uid"})).To(Succeed())
	NewWithT(t).Expect(files(t, dir)).To(Equal(before), "files")
}

func TestDelete_LeavesNothing(t *testing.T) {
	dir := t.TempDir()
	tags, _ := openStore(t, dir)
	wantWorks(t, tags)
	for _, suffix := range []string{".corrupt", ".facts.corrupt", ".unfinished", ".facts.unfinished"} {
		writeFile(t, filepath.Join(dir, "ns/repo/uid"+suffix), nil)
	}
	NewWithT(t).Expect(tags.Delete(t.Context(), testKey)).To(Succeed())
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != lockFile {
		t.Errorf("the folder contains %v (%v)", entries, err)
	}
	wantWorks(t, tags)
}

// TestOpen_RemovesUnfinishedFiles covers the files of a process that was killed while writing.
func TestOpen_RemovesUnfinishedFiles(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "ns/repo/uid.unfinished"), []byte("half of"))
	writeFile(t, filepath.Join(dir, "ns/repo/uid.facts.unfinished"), nil)
	tags, reports := openStore(t, dir)
	wantWorks(t, tags)
	wantKinds(t, *reports)
	NewWithT(t).Expect(files(t, dir)).To(HaveLen(2), "files")
}

// TestStore_LeavesForeignFiles expects foreign folders and files to remain when all objects are
// deleted.
func TestStore_LeavesForeignFiles(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	reported := []string{"000001.vlog", "000002.sst", "00001.mem", "MANIFEST", "KEYREGISTRY", "DISCARD",
		"tags.db", "tags.db.corrupt-1", "tags.db.unfinished"}
	others := []string{
		"lost+found/1/2", "file", "folder/file", ".snapshot/daily/1", "README.md",
		"gitrepository/flux-system/flux-system/0a1b.tar.gz", "gitrepository/flux-system/flux-system/0a1b.tar.gz.lock",
		"ocirepository/apps/web/sha256/digest", "ns/repo/uid.txt", "ns/repo/UID", "ns/Repo/uid", "ns/repo/uid.facts.old",
	}
	for _, name := range slices.Concat(reported, others, []string{"backups/of/yesterday"}) {
		writeFile(t, filepath.Join(dir, name), []byte("foreign"))
	}
	g.Expect(os.Symlink(t.TempDir(), filepath.Join(dir, "link"))).To(Succeed())
	before := files(t, dir)
	tags, reports := openStore(t, dir)
	wantWorks(t, tags)
	var want []string
	for _, name := range reported {
		want = append(want, filepath.Join(dir, name))
	}
	if got := (*reports)[0].Paths; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("reported %v, want %v", got, want)
	}
	keys, err := tags.Keys(t.Context())
	g.Expect(err).NotTo(HaveOccurred(), "Keys()")
	g.Expect(keys).To(Equal([]Key{{"backups", "of", "yesterday"}, testKey}), "Keys()")
	for _, key := range keys {
		g.Expect(tags.Delete(t.Context(), key)).To(Succeed())
	}
	g.Expect(files(t, dir)).To(Equal(before))
	wantKinds(t, *reports, LeftoversFound, LeftoversFound)
}

// TestStore_ReportsUnusableFolder covers configuration mistakes.
func TestStore_ReportsUnusableFolder(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "file"), nil)
	writeFile(t, filepath.Join(dir, "taken", lockFile, "file"), nil)
	for path, want := range map[string]error{"file": syscall.ENOTDIR, "taken": syscall.EISDIR} {
		tags := New(filepath.Join(dir, path), Options{})
		for range 2 {
			g.Expect(tags.Put(t.Context(), testKey, testSnapshot)).To(MatchError(want), "Put() in %q", path)
		}
		closeStore(t, tags)
	}
	tags, _ := openStore(t, filepath.Join(dir, "used"))
	writeFile(t, filepath.Join(dir, "used", "blocked"), nil)
	g.Expect(tags.Put(t.Context(), Key{"blocked", "a", "1"}, testSnapshot)).To(MatchError(syscall.ENOTDIR), "Put() with a file in place of the folder")
	wantWorks(t, tags)
}

func TestLock_ExcludesSecondStore(t *testing.T) {
	dir := t.TempDir()
	first, _ := openStore(t, dir)
	second := New(dir, Options{})
	second.lockTimeout = 10 * time.Millisecond
	for range 2 { // the store does not retry; the process exits on the first error
		NewWithT(t).Expect(second.Keys(t.Context())).Error().To(MatchError(ErrLocked), "Keys() of a folder in use")
	}
	closeStore(t, second)
	time.AfterFunc(100*time.Millisecond, func() { _ = first.Close() })
	third, _ := openStore(t, dir)
	wantWorks(t, third)
}

// TestOpen_IsDeferredUntilFirstUse expects a standby replica to neither create nor lock the folder,
// and to find the leader's data when it uses the folder.
func TestOpen_IsDeferredUntilFirstUse(t *testing.T) {
	g := NewWithT(t)
	dir := filepath.Join(t.TempDir(), "made")
	standby := New(dir, Options{})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	g.Expect(standby.Keys(cancelled)).Error().To(MatchError(context.Canceled), "Keys()")
	g.Expect(os.Stat(dir)).Error().To(MatchError(os.ErrNotExist), "the folder was created")
	leader, _ := openStore(t, dir)
	wantWorks(t, leader)
	closeStore(t, leader)
	wantStored(t, standby, testKey, testSnapshot)
	closeStore(t, standby)

	unused := New(filepath.Join(dir, "unused"), Options{})
	closeStore(t, unused)
	g.Expect(unused.Keys(t.Context())).Error().To(MatchError(ErrClosed), "Keys()")
}

// TestOpen_WaitEndsOnCancelAndClose expects callers and Close not to wait for another process, and
// the store to stay open after its first caller's context has ended.
func TestOpen_WaitEndsOnCancelAndClose(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	other, _ := openStore(t, dir)
	waiting := New(dir, Options{})
	waiting.lockTimeout = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	g.Expect(waiting.Keys(ctx)).Error().To(MatchError(context.DeadlineExceeded), "Keys()")
	start := time.Now()
	closeStore(t, waiting)
	closeStore(t, waiting)
	g.Expect(time.Since(start)).To(BeNumerically("<=", 10*time.Second), "duration")
	g.Expect(waiting.Keys(t.Context())).Error().To(MatchError(ErrClosed), "Keys()")

	retried := New(dir, Options{})
	retried.lockTimeout = time.Minute
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	g.Expect(retried.Keys(ctx)).Error().To(MatchError(context.DeadlineExceeded), "Keys()")
	closeStore(t, other)
	wantWorks(t, retried)
	closeStore(t, retried)
}
