// SPDX-License-Identifier: Apache-2.0

//go:build linux

package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// writes are operations that change a store with testSnapshot and testFacts.
var writes = map[string]struct {
	write func(t *testing.T, tags *Store) error
	want  func(t *testing.T, tags *Store)
}{
	"a new snapshot": {
		func(t *testing.T, tags *Store) error {
			return tags.Put(t.Context(), numberedKey(1), randomSnapshot(20_000, 1))
		},
		func(t *testing.T, tags *Store) { wantStored(t, tags, numberedKey(1), randomSnapshot(20_000, 1)) },
	},
	"a changed snapshot": {
		func(t *testing.T, tags *Store) error {
			return tags.Put(t.Context(), testKey, randomSnapshot(20_000, 2))
		},
		func(t *testing.T, tags *Store) { wantStored(t, tags, testKey, randomSnapshot(20_000, 2)) },
	},
	"facts": {func(t *testing.T, tags *Store) error { return tags.PutFacts(t.Context(), testKey, moreFacts()) }, func(t *testing.T, tags *Store) { wantFacts(t, tags, testKey, moreFacts()) }},
}

// moreFacts returns testFacts and many more.
func moreFacts() factMap {
	facts := manyFacts(5000)
	maps.Copy(facts, testFacts())
	return facts
}

// TestFaults_FailWritesWithoutDataLoss makes every kind of system call of a write fail. The write
// must return the error and not succeed before the data is durable, stored data must not be lost,
// and after the fault everything must work again.
func TestFaults_FailWritesWithoutDataLoss(t *testing.T) {
	out, err := underFaults(t, t.TempDir(), func(_ string, f *faults) {
		for _, fault := range []struct {
			name  string
			after int
			errno syscall.Errno
			want  error
		}{
			{"write", 0, syscall.ENOSPC, ErrNoSpace},
			{"write", 0, syscall.EDQUOT, ErrNoSpace},
			{"write", 0, syscall.EFBIG, ErrNoSpace},
			{"write", 0, syscall.EIO, ErrVolume},
			{"write", 0, syscall.EROFS, ErrVolume},
			{"fsync", 0, syscall.EIO, ErrVolume},
			{"fsync", 1, syscall.EIO, ErrVolume}, // syncing the folder after the rename
			{"fsync", 2, syscall.ENOSPC, ErrNoSpace},
			{"fsync", 3, syscall.EIO, ErrVolume},
			{"rename", 0, syscall.EIO, ErrVolume},
			{"open", 2, syscall.EIO, ErrVolume},
			{"mkdir", 0, syscall.ENOSPC, ErrNoSpace},
		} {
			for name := range writes {
				t.Run(fmt.Sprintf("%s: %s %d %s", name, fault.name, fault.after, fault.errno), func(t *testing.T) {
					after := fault.after
					faultOfWrite(t, f, name, fault.want, func(c call) syscall.Errno {
						if c.name != fault.name {
							return 0
						}
						if after--; after >= 0 {
							return 0
						}
						return fault.errno
					})
				})
			}
		}
	})
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "%v\n%s", err, out)
}

func faultOfWrite(t *testing.T, f *faults, name string, want error, fail func(call) syscall.Errno) {
	g := NewWithT(t)
	f.set(nil)
	dir := t.TempDir()
	tags, reports := openStore(t, dir)
	wantWorks(t, tags)
	failed := false
	f.set(func(c call) syscall.Errno {
		errno := fail(c)
		failed = failed || errno != 0
		return errno
	})
	for range 2 { // a retry must not skip the write
		if err := writes[name].write(t, tags); failed && !errors.Is(err, want) || !failed && err != nil {
			t.Fatalf("write: %v, want %v", err, want)
		}
	}
	f.set(nil)
	g.Expect(tags.Get(t.Context(), testKey)).Error().NotTo(HaveOccurred(), "Get()")
	g.Expect(writes[name].write(t, tags)).To(Succeed(), "write without the fault")
	closeStore(t, tags)
	reopened, more := openStore(t, dir)
	writes[name].want(t, reopened)
	wantKinds(t, append(*reports, *more...))
	closeStore(t, reopened)
}

// TestFaults_FailReadsWithoutDamage makes opening files fail temporarily.
func TestFaults_FailReadsWithoutDamage(t *testing.T) {
	out, err := underFaults(t, t.TempDir(), func(dir string, f *faults) {
		tags, _ := openStore(t, dir)
		wantWorks(t, tags)
		closeStore(t, tags)
		tags, reports := openStore(t, dir)
		f.set(func(c call) syscall.Errno {
			if c.name == "open" {
				return syscall.EIO
			}
			return 0
		})
		for name, read := range map[string]func() error{
			"Get":      func() error { _, err := tags.Get(t.Context(), testKey); return err },
			"Info":     func() error { _, err := tags.Info(t.Context(), testKey); return err },
			"Facts":    func() error { _, err := tags.Facts(t.Context(), testKey); return err },
			"Put":      func() error { return tags.Put(t.Context(), testKey, randomSnapshot(1, 1)) },
			"PutFacts": func() error { return tags.PutFacts(t.Context(), testKey, manyFacts(1)) },
		} {
			NewWithT(t).Expect(read()).To(MatchError(ErrVolume), "%s()", name)
		}
		f.set(nil)
		wantStored(t, tags, testKey, testSnapshot)
		wantFacts(t, tags, testKey, testFacts())
		wantKinds(t, *reports)
		closeStore(t, tags)
	})
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), "%v\n%s", err, out)
}

// smallVolume mounts a volume with options. It requires privileges.
func smallVolume(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("SKIPPED, NOTHING IS TESTED: mounting a volume requires root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestVolume_ReportsNoSpaceIfFull fills a volume with another file.
func TestVolume_ReportsNoSpaceIfFull(t *testing.T) {
	g := NewWithT(t)
	dir := smallVolume(t, "size=1m")
	tags, reports := openStore(t, dir)
	wantWorks(t, tags)
	ballast := filepath.Join(dir, "ballast")
	file, err := os.Create(ballast)
	g.Expect(err).NotTo(HaveOccurred())
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	g.Expect(err).To(MatchError(syscall.ENOSPC))
	closeErr := file.Close()
	for range 3 {
		for what, w := range writes {
			g.Expect(w.write(t, tags)).To(MatchError(ErrNoSpace), "writing %s on a full volume", what)
		}
		wantStored(t, tags, testKey, testSnapshot)
		wantFacts(t, tags, testKey, testFacts())
	}
	closeStore(t, tags)
	tags, more := openStore(t, dir) // a full volume can be read
	wantStored(t, tags, testKey, testSnapshot)
	wantFacts(t, tags, testKey, testFacts())
	g.Expect(errors.Join(closeErr, os.Remove(ballast))).To(Succeed())
	g.Expect(writes["a new snapshot"].write(t, tags)).To(Succeed(), "Put() with free space")
	writes["a new snapshot"].want(t, tags)
	wantKinds(t, append(*reports, *more...))
}

// TestVolume_FailsIfReadOnly remounts a volume as read-only.
func TestVolume_FailsIfReadOnly(t *testing.T) {
	g := NewWithT(t)
	dir := smallVolume(t, "size=1m")
	tags, _ := openStore(t, dir)
	wantWorks(t, tags)
	closeStore(t, tags)
	g.Expect(unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, "")).To(Succeed())
	tags = New(dir, Options{})
	g.Expect(tags.Get(t.Context(), testKey)).Error().To(MatchError(ErrVolume), "Get() on a read-only volume")
	closeStore(t, tags)
}
