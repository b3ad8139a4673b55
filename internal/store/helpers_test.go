// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

type factMap = map[string]admission.Fact

var (
	testKey      = Key{"ns", "repo", "uid"}
	testSnapshot = scan.Snapshot{Image: "image", Tags: []string{"1", "2"}, FirstSeen: []int64{3, 4}, Since: 3}
)

// testFacts are of the tags of testSnapshot.
func testFacts() factMap { return factMap{"1": someFact(1), "2": someFact(2)} }

// someFact returns one with all that it may have; n tells it from others.
func someFact(n int) admission.Fact {
	return admission.Fact{Digest: fmt.Sprintf("sha256:%064x", n), Seen: int64(n), Moved: n%2 == 0, Read: true, Created: 1_600_000_000,
		Platforms: []string{"linux/amd64", "plan9/mips"}, Verdicts: []admission.Verdict{{Rule: "r", Since: 1, At: int64(n), Signer: "s"}}}
}

// manyFacts returns n facts of tags.
func manyFacts(n int) factMap {
	facts := factMap{}
	for i := range n {
		facts[fmt.Sprintf("v1.%d.%d", i/1000, i%1000)] = someFact(i)
	}
	return facts
}

func numbered(n int) Key {
	return Key{"ns", fmt.Sprintf("repo-%d", n), types.UID(fmt.Sprintf("uid-%d", n))}
}

// random returns a snapshot of n tags, which compress badly.
func random(n int, seed uint64) scan.Snapshot {
	source := rand.New(rand.NewPCG(seed, seed))
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("%x", source.Uint64())
	}
	return scan.Next(scan.Snapshot{}, "image", tags, time.Unix(int64(seed), 0))
}

// opened returns the store in dir, which a test closes at its end, and what it reports.
func opened(t testing.TB, dir string) (*Store, *[]Report) {
	t.Helper()
	var reports []Report
	tags := New(dir, Options{Report: func(r Report) { reports = append(reports, r) }})
	if _, err := tags.Keys(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, tags) })
	return tags, &reports
}

func closed(t testing.TB, tags *Store) {
	t.Helper()
	if err := tags.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// written is what changes when a file is written or replaced.
type written struct {
	inode uint64
	at    time.Time
}

// files returns the files below a folder but the lock.
func files(t testing.TB, dir string) map[string]written {
	t.Helper()
	found := map[string]written{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == lockName {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			name, _ := filepath.Rel(dir, path)
			found[name] = written{info.Sys().(*syscall.Stat_t).Ino, info.ModTime()}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func mustPut(t testing.TB, tags *Store, key Key, s scan.Snapshot) {
	t.Helper()
	if err := tags.Put(t.Context(), key, s); err != nil {
		t.Fatalf("Put(%s) = %v", key, err)
	}
}

func mustPutFacts(t testing.TB, tags *Store, key Key, facts factMap) {
	t.Helper()
	if err := tags.PutFacts(t.Context(), key, facts); err != nil {
		t.Fatalf("PutFacts(%s) = %v", key, err)
	}
}

func wantHeld(t testing.TB, tags *Store, key Key, want scan.Snapshot) {
	t.Helper()
	if got, err := tags.Get(t.Context(), key); err != nil || !got.Equal(want) {
		t.Errorf("Get(%s) = %d tags, %v, want %d or others", key, len(got.Tags), err, len(want.Tags))
	}
}

func wantFacts(t testing.TB, tags *Store, key Key, want factMap) {
	t.Helper()
	got, err := tags.Facts(t.Context(), key)
	if err != nil || len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Errorf("Facts(%s) = %d facts, %v, want %d or others", key, len(got), err, len(want))
	}
}

// wantWorks puts and gets a snapshot and facts.
func wantWorks(t testing.TB, tags *Store) {
	t.Helper()
	mustPut(t, tags, testKey, testSnapshot)
	mustPutFacts(t, tags, testKey, testFacts())
	wantHeld(t, tags, testKey, testSnapshot)
	wantFacts(t, tags, testKey, testFacts())
}

// wantKinds expects reports of these kinds.
func wantKinds(t testing.TB, reports []Report, want ...ReportKind) {
	t.Helper()
	var got []ReportKind
	for _, r := range reports {
		got = append(got, r.Kind)
		if !strings.Contains(r.String(), r.Paths[0]) {
			t.Errorf("the report %q does not say where", r)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("reports are %v, want %v", reports, want)
	}
}
