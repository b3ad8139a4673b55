// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tagstore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// smallVolume mounts a volume of some bytes, which takes the right to do so.
func smallVolume(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("SKIPPED, NOTHING IS TESTED: a volume can't be mounted, which root may do: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestVolumeFullOfOthers fills a volume with another file.
func TestVolumeFullOfOthers(t *testing.T) {
	dir := smallVolume(t, "2m")
	store, reports := opened(t, dir)
	wantWorks(t, store)
	ballast := filepath.Join(dir, "ballast")
	fillVolume(t, ballast)
	for range 3 {
		if err := store.Put(t.Context(), numbered(1), big(1)); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("Put() on a full volume = %v, want ErrNoSpace", err)
		}
		if err := store.PutFacts(t.Context(), testKey, manyFacts(20_000)); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("PutFacts() on a full volume = %v, want ErrNoSpace", err)
		}
		wantAll(t, store, map[Key]scan.Snapshot{testKey: testSnapshot})
		wantFacts(t, store, testKey, nil)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store, more := opened(t, dir) // what is there can be opened and read
	wantWorks(t, store)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), numbered(1), big(1)); err != nil {
		t.Errorf("with space again, Put() = %v", err)
	}
	wantAll(t, store, map[Key]scan.Snapshot{testKey: testSnapshot, numbered(1): big(1)})
	wantKinds(t, append(*reports, *more...))
}

// TestVolumeFullOfTags fills a volume with the store itself.
func TestVolumeFullOfTags(t *testing.T) {
	dir := smallVolume(t, "2m")
	store, reports := opened(t, dir)
	want := map[Key]scan.Snapshot{}
	for n := 1; ; n++ {
		err := store.Put(t.Context(), numbered(n), big(uint64(n)))
		if errors.Is(err, ErrNoSpace) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		want[numbered(n)] = big(uint64(n))
	}
	wantAll(t, store, want)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store, more := opened(t, dir)
	wantAll(t, store, want)
	if len(want) == 0 {
		t.Error("nothing fits the volume")
	}
	wantKinds(t, append(*reports, *more...))
}

// fillVolume writes a file until there is no space.
func fillVolume(t *testing.T, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); ; {
		if _, err := file.Write(block); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}
