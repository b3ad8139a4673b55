// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

var (
	testKey      = Key{"ns", "repo", "uid"}
	testSnapshot = scan.Snapshot{Image: "image", Tags: []string{"1", "2"}, FirstSeen: []int64{3, 4}, Since: 3}
)

// opened opens the store in dir, and returns what it reports as well.
func opened(t testing.TB, dir string, opts ...Option) (*Bolt, *[]Report) {
	t.Helper()
	var reports []Report
	report := WithReport(func(r Report) { reports = append(reports, r) })
	store, err := OpenBolt(dir, append(opts, report)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return store, &reports
}

// compactingAbove has a store compact files of more than some bytes.
func compactingAbove(size int64) Option {
	return func(o *options) { o.compactAbove = size }
}

func write(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantKinds expects reports of these kinds.
func wantKinds(t testing.TB, reports []Report, want ...ReportKind) {
	t.Helper()
	if len(reports) != len(want) {
		t.Fatalf("reports are %v, want %v", reports, want)
	}
	for i, r := range reports {
		if r.Kind != want[i] || r.String() == "" {
			t.Errorf("report %d is %q (%s), want %s", i, r, r.Kind, want[i])
		}
	}
}

// wantWorks puts and gets a snapshot.
func wantWorks(t testing.TB, store Store) {
	t.Helper()
	if err := store.Put(t.Context(), testKey, testSnapshot); err != nil {
		t.Fatalf("Put() = %v", err)
	}
	if got, err := store.Get(t.Context(), testKey); err != nil || !got.Equal(testSnapshot) {
		t.Fatalf("Get() = %v, %v", got, err)
	}
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by the store [1]")
	snapshots := realSnapshots(t)
	for round := range 3 {
		store, reports := opened(t, dir)
		for name, s := range snapshots {
			key := Key{"ns", name, "uid"}
			if round > 0 {
				if got, err := store.Get(t.Context(), key); err != nil || !got.Equal(s) {
					t.Errorf("round %d: Get(%s) returned another snapshot, error %v", round, key, err)
				}
			}
			if err := store.Put(t.Context(), key, s); err != nil {
				t.Fatal(err)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		wantKinds(t, *reports)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, fileName): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v (%v), want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

func TestUnchangedIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	store, _ := opened(t, dir)
	wantWorks(t, store)
	before, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	wantWorks(t, store)
	if err := store.Delete(t.Context(), Key{"ns", "other", "uid"}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Sweep(t.Context(), func(Key) bool { return true }); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file was written (%v)", err)
	}
}

func TestLockedByAnother(t *testing.T) {
	dir := t.TempDir()
	first, _ := opened(t, dir)
	_, err := OpenBolt(dir, WithLockTimeout(10*time.Millisecond))
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("OpenBolt() of a store in use = %v, want ErrLocked", err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = first.Close() })
	second, _ := opened(t, dir)
	wantWorks(t, second)
}

// TestSetAside has things at the store's path that are no store.
func TestSetAside(t *testing.T) {
	for _, test := range []struct {
		name   string
		reason string // a part of the report's error
		make   func(t *testing.T, dir string)
	}{
		{"random bytes", "meta page", func(t *testing.T, dir string) {
			write(t, dir, fileName, bytes.Repeat([]byte("no bbolt file "), 10_000))
		}},
		{"one byte", "meta page", func(t *testing.T, dir string) { write(t, dir, fileName, []byte{0}) }},
		{"only zeros", "meta page", func(t *testing.T, dir string) { write(t, dir, fileName, make([]byte, 1<<16)) }},
		{"a directory", "no regular file", func(t *testing.T, dir string) {
			if err := os.MkdirAll(filepath.Join(dir, fileName, "sub"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"another program's database", "another program", func(t *testing.T, dir string) {
			withBolt(t, dir, func(tx *bolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})
		}},
		{"a later format", "format version 3", func(t *testing.T, dir string) {
			withFormat(t, dir, func([]byte) []byte { return encodeFormat(3) })
		}},
		{"a format that fails its checksum", "checksum", func(t *testing.T, dir string) {
			withFormat(t, dir, func(format []byte) []byte {
				format[len(format)-1]++
				return format
			})
		}},
		{"a format that is none", "does not say", func(t *testing.T, dir string) {
			withFormat(t, dir, func([]byte) []byte { return []byte("else") })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.make(t, dir)
			store, reports := opened(t, dir)
			wantKinds(t, *reports, FileSetAside)
			r := (*reports)[0]
			if !errors.Is(r.Err, ErrDamaged) || !strings.Contains(r.Err.Error(), test.reason) {
				t.Errorf("the reason is %q, want %q", r.Err, test.reason)
			}
			if want := filepath.Join(dir, "tags.db.corrupt-1"); r.Paths[0] != want {
				t.Errorf("it was set aside as %s, want %s", r.Paths[0], want)
			}
			if _, err := os.Stat(r.Paths[0]); err != nil {
				t.Error(err)
			}
			wantWorks(t, store)
		})
	}
}

// withBolt changes the file with bbolt itself.
func withBolt(t testing.TB, dir string, change func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(filepath.Join(dir, fileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// withFormat makes a store and changes its format.
func withFormat(t testing.TB, dir string, change func([]byte) []byte) {
	t.Helper()
	store, _ := opened(t, dir)
	wantWorks(t, store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	withBolt(t, dir, func(tx *bolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		return meta.Put(formatKey, change(bytes.Clone(meta.Get(formatKey))))
	})
}

// TestOlderFormatIsBroughtUp opens a file as the version before made it.
func TestOlderFormatIsBroughtUp(t *testing.T) {
	dir := t.TempDir()
	old, err := hex.DecodeString(smallRecord1)
	if err != nil {
		t.Fatal(err)
	}
	withFormat(t, dir, func([]byte) []byte { return encodeFormat(oldFormatVersion) })
	withBolt(t, dir, func(tx *bolt.Tx) error { return tx.Bucket(recordsBucket).Put(smallKey.encode(), old) })
	for range 2 { // the second time it is of this version
		store, reports := opened(t, dir)
		wantKinds(t, *reports)
		if got, err := store.Get(t.Context(), smallKey); err != nil || !got.Equal(small) {
			t.Errorf("Get() = %v, %v", got, err)
		}
		if got, err := store.Info(t.Context(), smallKey); err != nil || got != infoOf(small) {
			t.Errorf("Info() = %v, %v", got, err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	withBolt(t, dir, func(tx *bolt.Tx) error {
		if got := tx.Bucket(metaBucket).Get(formatKey); !bytes.Equal(got, encodeFormat(formatVersion)) {
			t.Errorf("the format is still %q", got)
		}
		return nil
	})
}

// TestNewFiles has what a crash leaves while a file is made: nothing was lost.
func TestNewFiles(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"empty":           func(t *testing.T, dir string) { write(t, dir, fileName, nil) },
		"without buckets": func(t *testing.T, dir string) { withBolt(t, dir, func(*bolt.Tx) error { return nil }) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			prepare(t, dir)
			store, reports := opened(t, dir)
			wantKinds(t, *reports)
			wantWorks(t, store)
		})
	}
}

func TestFewFilesStayAside(t *testing.T) {
	dir := t.TempDir()
	for range maxAside + 3 {
		write(t, dir, fileName, []byte("damaged"))
		store, reports := opened(t, dir)
		wantKinds(t, *reports, FileSetAside)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	aside, err := filepath.Glob(filepath.Join(dir, fileName+".corrupt-*"))
	if err != nil || len(aside) != maxAside {
		t.Errorf("%d files are kept aside (%v), want %d", len(aside), err, maxAside)
	}
}

func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	names := []string{"000001.vlog", "000002.sst", "00001.mem", "DISCARD", "KEYREGISTRY", "MANIFEST"}
	for _, name := range append([]string{"unrelated"}, names...) {
		write(t, dir, name, []byte(name))
	}
	store, reports := opened(t, dir)
	wantWorks(t, store)
	wantKinds(t, *reports, LeftoversFound)
	for i, name := range names {
		path := filepath.Join(dir, name)
		if got := (*reports)[0].Paths; i >= len(got) || got[i] != path {
			t.Errorf("reported paths are %v, want %s at %d", got, path, i)
		}
		if content, err := os.ReadFile(path); err != nil || string(content) != name {
			t.Errorf("%s is now %q (%v)", path, content, err)
		}
	}
}

func TestUnusableDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file", nil)
	if _, err := OpenBolt(filepath.Join(dir, "file")); err == nil {
		t.Error("a file was taken for a directory")
	}
}
