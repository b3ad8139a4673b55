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

// TestRestart_KeepsSnapshotsAndFacts opens a folder again and again, whose path has what a
// pattern would take for its own.
func TestRestart_KeepsSnapshotsAndFacts(t *testing.T) {
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
	g := NewWithT(t)
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
	g.Expect(err).NotTo(HaveOccurred(), "Keys()")
	g.Expect(keys).To(HaveLen(objects+1), "Keys()")
	wantKinds(t, *reports)
	wantHeld(t, tags, testKey, testSnapshot)
}

func TestPut_SkipsUnchangedData(t *testing.T) {
	dir := t.TempDir()
	tags, _ := opened(t, dir)
	wantWorks(t, tags)
	before := files(t, dir)
	wantWorks(t, tags)
	mustPutFacts(t, tags, testKey, factMap{"1": someFact(1)})
	NewWithT(t).Expect(tags.Delete(t.Context(), Key{"ns", "other", "uid"})).To(Succeed())
	NewWithT(t).Expect(files(t, dir)).To(Equal(before), "files were written")
}

func TestDelete_LeavesNothing(t *testing.T) {
	dir := t.TempDir()
	tags, _ := opened(t, dir)
	wantWorks(t, tags)
	for _, suffix := range []string{".corrupt", ".facts.corrupt", ".unfinished", ".facts.unfinished"} {
		write(t, filepath.Join(dir, "ns/repo/uid"+suffix), nil)
	}
	NewWithT(t).Expect(tags.Delete(t.Context(), testKey)).To(Succeed())
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != lockName {
		t.Errorf("the folder has %v (%v)", entries, err)
	}
	wantWorks(t, tags)
}

// TestOpen_RemovesUnfinishedFiles has what a process leaves that is killed while it writes.
func TestOpen_RemovesUnfinishedFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ns/repo/uid.unfinished"), []byte("half of"))
	write(t, filepath.Join(dir, "ns/repo/uid.facts.unfinished"), nil)
	tags, reports := opened(t, dir)
	wantWorks(t, tags)
	wantKinds(t, *reports)
	NewWithT(t).Expect(files(t, dir)).To(HaveLen(2), "what the folder has")
}

// TestStore_LeavesForeignFiles has folders and files of others in the storage, and removes all
// that the store has.
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
		write(t, filepath.Join(dir, name), []byte("not of the store"))
	}
	g.Expect(os.Symlink(t.TempDir(), filepath.Join(dir, "link"))).To(Succeed())
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
	g.Expect(err).NotTo(HaveOccurred(), "Keys()")
	g.Expect(keys).To(Equal([]Key{{"backups", "of", "yesterday"}, testKey}), "Keys()")
	for _, key := range keys {
		g.Expect(tags.Delete(t.Context(), key)).To(Succeed())
	}
	g.Expect(files(t, dir)).To(Equal(before))
	wantKinds(t, *reports, LeftoversFound, LeftoversFound)
}

// TestStore_ReportsUnusableFolder has what an administrator may get wrong.
func TestStore_ReportsUnusableFolder(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), nil)
	write(t, filepath.Join(dir, "taken", lockName, "file"), nil)
	for path, want := range map[string]error{"file": syscall.ENOTDIR, "taken": syscall.EISDIR} {
		tags := New(filepath.Join(dir, path), Options{})
		for range 2 {
			g.Expect(tags.Put(t.Context(), testKey, testSnapshot)).To(MatchError(want), "Put() in %q", path)
		}
		closed(t, tags)
	}
	tags, _ := opened(t, filepath.Join(dir, "used"))
	write(t, filepath.Join(dir, "used", "blocked"), nil)
	g.Expect(tags.Put(t.Context(), Key{"blocked", "a", "1"}, testSnapshot)).To(MatchError(syscall.ENOTDIR), "Put() where a file is in the way")
	wantWorks(t, tags)
}

func TestLock_ExcludesSecondStore(t *testing.T) {
	dir := t.TempDir()
	first, _ := opened(t, dir)
	second := New(dir, Options{})
	second.lockTimeout = 10 * time.Millisecond
	for range 2 { // the process ends by the first error, and does not try again
		NewWithT(t).Expect(second.Keys(t.Context())).Error().To(MatchError(ErrLocked), "Keys() of a folder in use")
	}
	closed(t, second)
	time.AfterFunc(100*time.Millisecond, func() { _ = first.Close() })
	third, _ := opened(t, dir)
	wantWorks(t, third)
}

// TestOpen_IsDeferredUntilFirstUse shows that a replica which stands by neither makes nor
// locks the folder, and finds what the leader left once it uses it.
func TestOpen_IsDeferredUntilFirstUse(t *testing.T) {
	g := NewWithT(t)
	dir := filepath.Join(t.TempDir(), "made")
	standby := New(dir, Options{})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	g.Expect(standby.Keys(over)).Error().To(MatchError(context.Canceled), "Keys()")
	g.Expect(os.Stat(dir)).Error().To(MatchError(os.ErrNotExist), "the folder was made")
	leader, _ := opened(t, dir)
	wantWorks(t, leader)
	closed(t, leader)
	wantHeld(t, standby, testKey, testSnapshot)
	closed(t, standby)

	unused := New(filepath.Join(dir, "unused"), Options{})
	closed(t, unused)
	g.Expect(unused.Keys(t.Context())).Error().To(MatchError(ErrClosed), "Keys()")
}

// TestOpen_WaitEndsOnCancelAndClose shows that neither a caller nor Close waits as long as another
// process has the folder, and that a store stays open though its first caller is gone.
func TestOpen_WaitEndsOnCancelAndClose(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	holder, _ := opened(t, dir)
	waiting := New(dir, Options{})
	waiting.lockTimeout = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	g.Expect(waiting.Keys(ctx)).Error().To(MatchError(context.DeadlineExceeded), "Keys()")
	start := time.Now()
	closed(t, waiting)
	closed(t, waiting)
	g.Expect(time.Since(start)).To(BeNumerically("<=", 10*time.Second), "the time that it took")
	g.Expect(waiting.Keys(t.Context())).Error().To(MatchError(ErrClosed), "Keys()")

	patient := New(dir, Options{})
	patient.lockTimeout = time.Minute
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	g.Expect(patient.Keys(ctx)).Error().To(MatchError(context.DeadlineExceeded), "Keys()")
	closed(t, holder)
	wantWorks(t, patient)
	closed(t, patient)
}
