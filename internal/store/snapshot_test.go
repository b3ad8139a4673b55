// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// realSnapshots returns the snapshots of real images by name.
func realSnapshots(t testing.TB) map[string]scan.Snapshot {
	t.Helper()
	g := NewWithT(t)
	files, err := filepath.Glob("testdata/*.tsv")
	g.Expect(err).NotTo(HaveOccurred(), "no tag lists in testdata")
	g.Expect(files).NotTo(BeEmpty(), "no tag lists in testdata")
	snapshots := map[string]scan.Snapshot{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".tsv")
		snapshots[name] = readSnapshot(t, file, "docker.io/library/"+name)
	}
	return snapshots
}

// readSnapshot reads lines of tag, tab and date. Since the lists have days instead of seconds, it
// derives a time of day from each day.
func readSnapshot(t testing.TB, file, image string) scan.Snapshot {
	t.Helper()
	g := NewWithT(t)
	content, err := os.ReadFile(file)
	g.Expect(err).NotTo(HaveOccurred())
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	slices.Sort(lines)
	s := scan.Snapshot{Image: image, Since: 1_400_000_000}
	for _, line := range lines {
		tag, date, _ := strings.Cut(line, "\t")
		day, err := time.Parse(time.DateOnly, date)
		g.Expect(err).NotTo(HaveOccurred())
		s.Tags = append(s.Tags, tag)
		s.FirstSeen = append(s.FirstSeen, day.Unix()+day.Unix()/86400*7919%86400)
	}
	g.Expect(validate(s)).To(Succeed())
	return s
}

func decode(key Key, content []byte) (scan.Snapshot, error) {
	_, s, err := openSnapshot(key, content, true)
	return s, err
}

func sizeAsJSON(t testing.TB, tags []string) int {
	t.Helper()
	b, err := json.Marshal(tags)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return len(b)
}

func TestSnapshot_CompressesRealTags(t *testing.T) {
	g := NewWithT(t)
	for image, want := range realSnapshots(t) {
		content := encodeSnapshot(testKey, want)
		got, err := decode(testKey, content)
		g.Expect(err).NotTo(HaveOccurred(), "%s: decoded snapshot", image)
		g.Expect(got.Equal(want)).To(BeTrue(), "%s: decoded snapshot", image)
		if limit := sizeAsJSON(t, want.Tags) / 5; len(content) > limit {
			t.Errorf("%s: the file has %d bytes, more than a fifth of the tags as JSON (%d)", image, len(content), limit)
		}
		g.Expect(encodeSnapshot(testKey, got)).To(Equal(content), "%s: encoding is not deterministic", image)
	}
}

func TestSnapshot_IsBoundToItsKey(t *testing.T) {
	content := encodeSnapshot(testKey, testSnapshot)
	for _, other := range []Key{{"ns", "repo", "uid2"}, {"ns", "repo2", "uid"}, {"ns2", "repo", "uid"}} {
		NewWithT(t).Expect(openSnapshot(other, content, false)).Error().To(MatchError(errDamaged), "the file of %s is accepted as that of %s", testKey, other)
	}
}

func TestSnapshot_DecodingBoundsAllocations(t *testing.T) {
	g := NewWithT(t)
	s := realSnapshots(t)["golang"]
	payload, info := encodePayload(s), Info{Tags: len(s.Tags)}
	allocs := testing.AllocsPerRun(10, func() {
		if _, err := parsePayload(info, payload); err != nil {
			t.Fatal(err)
		}
	})
	g.Expect(allocs).To(BeNumerically("<=", 5), "allocations to decode a payload")
}

func TestParsePayload_RejectsInvalidSizes(t *testing.T) {
	numbers := func(numbers ...uint64) []byte {
		var b []byte
		for _, n := range numbers {
			b = binary.AppendUvarint(b, n)
		}
		return b
	}
	const huge = 1 << 62
	for _, test := range []struct {
		reason  string
		tags    int
		payload []byte
	}{
		{"an empty payload", 0, nil},
		{"a huge total", 0, numbers(0, huge)},
		{"fewer tags than announced", MaxTags, numbers(0, 1, 0, 1)},
		{"missing times", 1, numbers(0, 1, 0, 1)},
		{"a tag without bytes", 1, numbers(0, 1, 0, 1, 0)},
		{"a huge tag", 1, append(numbers(0, 1, 0, huge, 0), 'a')},
		{"a shared prefix of the first tag", 1, append(numbers(0, 2, 1, 1, 0), 'a')},
		{"more bytes than the total", 2, append(numbers(0, 2, 0, 1, 1, 1, 0, 0), "ab"...)},
		{"fewer bytes than the total", 1, append(numbers(0, 2, 0, 1, 0), 'a')},
		{"equal tags", 2, append(numbers(0, 2, 0, 1, 1, 0, 0, 0), 'a')},
		{"trailing bytes", 1, append(numbers(0, 1, 0, 1, 0), "ab"...)},
	} {
		NewWithT(t).Expect(parsePayload(Info{Tags: test.tags}, test.payload)).Error().To(MatchError(errDamaged), test.reason)
	}
}

func TestUnpack_RejectsWrongSize(t *testing.T) {
	bomb := pack(nil, make([]byte, 1<<20))
	for _, claimed := range []uint64{1<<20 + 1, maxPayload, maxPayload + 1, 1 << 63} {
		NewWithT(t).Expect(unpack(append(binary.AppendUvarint(nil, claimed), bomb...))).Error().To(MatchError(errDamaged), "%d bytes were decompressed as %d", 1<<20, claimed)
	}
}

func TestValidate_EnforcesLimits(t *testing.T) {
	g := NewWithT(t)
	for reason, s := range map[string]scan.Snapshot{
		"too many tags": {Tags: make([]string, MaxTags+1), FirstSeen: make([]int64, MaxTags+1)},
		"too long tags": {Image: "i", Tags: []string{strings.Repeat("a", MaxTagBytes)}, FirstSeen: []int64{0}},
	} {
		g.Expect(validate(s)).To(MatchError(ErrTooLarge), "%s: validate()", reason)
	}
	longest := scan.Snapshot{Tags: []string{strings.Repeat("a", MaxTagBytes)}, FirstSeen: []int64{0}}
	g.Expect(validate(longest)).To(Succeed(), "validate() of the longest tags")
	if got, err := decode(testKey, encodeSnapshot(testKey, longest)); err != nil || !got.Equal(longest) {
		t.Errorf("decoding the longest tags: %v", err)
	}
}

// FuzzSnapshot decodes arbitrary bytes as the content after the checksum, and as a payload. Decoded
// snapshots can be stored and are restored unchanged.
func FuzzSnapshot(f *testing.F) {
	for _, s := range []scan.Snapshot{
		{},
		{Image: "image", Tags: []string{"", "a", "ab", "b"}, FirstSeen: []int64{5, 5, -1, 9}, Since: 1},
		{Tags: []string{strings.Repeat("a", 20), strings.Repeat("a", 40)}, FirstSeen: []int64{0, 0}},
	} {
		f.Add(len(s.Tags), encodePayload(s))
		f.Add(0, encodeSnapshot(testKey, s)[len(snapshotMagic)+crc32.Size:])
	}
	f.Fuzz(func(t *testing.T, tags int, data []byte) {
		if tags >= 0 && tags <= MaxTags {
			s, err := parsePayload(Info{Tags: tags}, data)
			wantRestored(t, s, err)
		}
		content := append(slices.Clone(snapshotMagic), binary.LittleEndian.AppendUint32(nil, crc32.Update(keyChecksum(testKey), castagnoli, data))...)
		s, err := decode(testKey, append(content, data...))
		wantRestored(t, s, err)
	})
}

func wantRestored(t *testing.T, s scan.Snapshot, err error) {
	t.Helper()
	if err != nil {
		return
	}
	if err := validate(s); err != nil && !errors.Is(err, ErrTooLarge) {
		t.Fatalf("decoded snapshot is invalid: %v", err)
	}
	if restored, err := decode(testKey, encodeSnapshot(testKey, s)); err != nil || !restored.Equal(s) {
		t.Fatalf("decoded snapshot is not restored: %v", err)
	}
}

// BenchmarkSnapshot encodes and decodes real lists, and reports the sizes of their files.
func BenchmarkSnapshot(b *testing.B) {
	snapshots := realSnapshots(b)
	for _, name := range slices.Sorted(maps.Keys(snapshots)) {
		s := snapshots[name]
		content := encodeSnapshot(testKey, s)
		for what, run := range map[string]func() error{
			"encode": func() error { encodeSnapshot(testKey, s); return nil },
			"decode": func() error { _, err := decode(testKey, content); return err },
		} {
			b.Run(fmt.Sprintf("%s/%s", name, what), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := run(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(s.Tags)), "tags")
				b.ReportMetric(float64(len(content)), "bytes")
				b.ReportMetric(float64(len(content))/float64(sizeAsJSON(b, s.Tags)), "of-JSON")
			})
		}
	}
}
