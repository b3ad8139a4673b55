// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

type factMap = map[string]admission.ImageInfo

var (
	testKey      = Key{"ns", "repo", "uid"}
	testSnapshot = scan.Snapshot{Image: "image", Tags: []string{"1", "2"}, FirstSeen: []int64{3, 4}, Since: 3}
)

// testFacts returns facts of the tags of testSnapshot.
func testFacts() factMap { return factMap{"1": testFact(1), "2": testFact(2)} }

// testFact returns a fact with all fields set. It differs for each n.
func testFact(n int) admission.ImageInfo {
	return admission.ImageInfo{Digest: fmt.Sprintf("sha256:%064x", n), DigestSince: int64(n), DigestChanged: n%2 == 0, PlatformsKnown: true, Created: 1_600_000_000,
		Platforms: []string{"linux/amd64", "plan9/mips"}, Verdicts: []admission.Verdict{{Rule: "r", Since: 1, At: int64(n), Signer: "s"}}}
}

// manyFacts returns the facts of n tags.
func manyFacts(n int) factMap {
	facts := factMap{}
	for i := range n {
		facts[fmt.Sprintf("v1.%d.%d", i/1000, i%1000)] = testFact(i)
	}
	return facts
}

func numberedKey(n int) Key {
	return Key{"ns", fmt.Sprintf("repo-%d", n), types.UID(fmt.Sprintf("uid-%d", n))}
}

// randomSnapshot returns a snapshot of n tags that compress badly.
func randomSnapshot(n int, seed uint64) scan.Snapshot {
	source := rand.New(rand.NewPCG(seed, seed))
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf("%x", source.Uint64())
	}
	return scan.Next(scan.Snapshot{}, "image", tags, time.Unix(int64(seed), 0))
}

// openStore opens the store in dir and returns it with its reports. It is closed at the end of the
// test.
func openStore(t testing.TB, dir string) (*Store, *[]Report) {
	t.Helper()
	var reports []Report
	tags := New(dir, Options{Report: func(r Report) { reports = append(reports, r) }})
	NewWithT(t).Expect(tags.Keys(t.Context())).Error().NotTo(HaveOccurred())
	t.Cleanup(func() { closeStore(t, tags) })
	return tags, &reports
}

func closeStore(t testing.TB, tags *Store) {
	t.Helper()
	NewWithT(t).Expect(tags.Close()).To(Succeed(), "Close()")
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(os.MkdirAll(filepath.Dir(path), 0o700)).To(Succeed())
	g.Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return content
}

// fileState identifies the content of a file: it changes if the file is written or replaced.
type fileState struct {
	inode uint64
	at    time.Time
}

// files returns the files in a folder, without the lock file.
func files(t testing.TB, dir string) map[string]fileState {
	t.Helper()
	all := map[string]fileState{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == lockFile {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			name, _ := filepath.Rel(dir, path)
			all[name] = fileState{info.Sys().(*syscall.Stat_t).Ino, info.ModTime()}
		}
		return err
	})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return all
}

func mustPut(t testing.TB, tags *Store, key Key, s scan.Snapshot) {
	t.Helper()
	NewWithT(t).Expect(tags.Put(t.Context(), key, s)).To(Succeed(), "Put(%s)", key)
}

func mustPutFacts(t testing.TB, tags *Store, key Key, facts factMap) {
	t.Helper()
	NewWithT(t).Expect(tags.PutFacts(t.Context(), key, facts)).To(Succeed(), "PutFacts(%s)", key)
}

func wantStored(t testing.TB, tags *Store, key Key, want scan.Snapshot) {
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
	wantStored(t, tags, testKey, testSnapshot)
	wantFacts(t, tags, testKey, testFacts())
}

// wantKinds expects reports of these kinds.
func wantKinds(t testing.TB, reports []Report, want ...ReportKind) {
	t.Helper()
	g := NewWithT(t)
	var got []ReportKind
	for _, r := range reports {
		got = append(got, r.Kind)
		g.Expect(r.String()).To(ContainSubstring(r.Paths[0]), "path in the report %q", r)
	}
	g.Expect(got).To(Equal(want), "reports are %v", reports)
}
