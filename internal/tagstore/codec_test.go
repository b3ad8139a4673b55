// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/scan"
)

// realSnapshots returns the snapshots of real images, by their names.
func realSnapshots(t testing.TB) map[string]scan.Snapshot {
	t.Helper()
	files, err := filepath.Glob("testdata/*.tsv")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tag lists in testdata: %v", err)
	}
	snapshots := map[string]scan.Snapshot{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".tsv")
		snapshots[name] = readSnapshot(t, file, "docker.io/library/"+name)
	}
	return snapshots
}

// readSnapshot reads lines of tag, tab, and date. As the lists have days where
// scans have seconds, each day gets a time of its own.
func readSnapshot(t testing.TB, file, image string) scan.Snapshot {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	slices.Sort(lines)
	s := scan.Snapshot{Image: image, Since: 1_400_000_000}
	for _, line := range lines {
		tag, date, _ := strings.Cut(line, "\t")
		day, err := time.Parse(time.DateOnly, date)
		if err != nil {
			t.Fatal(err)
		}
		s.Tags = append(s.Tags, tag)
		s.FirstSeen = append(s.FirstSeen, day.Unix()+day.Unix()/86400*7919%86400)
	}
	if err := validate(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func record(t testing.TB, name []byte, s scan.Snapshot) []byte {
	t.Helper()
	r, err := encodeRecord(name, s, encodePayload(s))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func asJSON(t testing.TB, tags []string) []byte {
	t.Helper()
	b, err := json.Marshal(tags)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordsOfRealTags(t *testing.T) {
	name := []byte("key")
	for image, want := range realSnapshots(t) {
		r := record(t, name, want)
		got, err := decodeRecord(name, r)
		if err != nil || !got.Equal(want) {
			t.Errorf("%s: decoding returned another snapshot, error %v", image, err)
		}
		if limit := len(asJSON(t, want.Tags)) / 5; len(r) > limit {
			t.Errorf("%s: record has %d bytes, more than a fifth of the tags as JSON (%d)", image, len(r), limit)
		}
		if again := record(t, name, got); !bytes.Equal(again, r) {
			t.Errorf("%s: encoding is not deterministic", image)
		}
	}
}

// small is a snapshot whose records are pinned: files with such records exist.
var (
	small    = scan.Snapshot{Image: "r.io/a", Tags: []string{"1.0", "1.0-rc1", "1.1"}, FirstSeen: []int64{100, 160, 100}, Since: 100}
	smallKey = Key{"ns", "repo", "uid"}
)

const (
	smallPayload = "00" + // stored
		"06" + "722e696f2f61" + "c801" + // image, since
		"03" + "03" + "34" + "21" + "312e30" + "2d726331" + "31" + // tags
		"02" + "c801" + "3c" + "00" + "02" + "00" // times
	smallRecord1 = "01" + "df59b5b1" + smallPayload // version, checksum
	smallRecord2 = "02" + "7a525275" +
		"14211d3331d563dee6e367fa761d0e3732cc4d656f0b5d4e8eef816f18910c3d" + "03" + "06" + "722e696f2f61" + // info
		smallPayload
)

func TestRecordFormat(t *testing.T) {
	if got := fmt.Sprintf("%x", record(t, smallKey.encode(), small)); got != smallRecord2 {
		t.Errorf("record is\n%s, want\n%s", got, smallRecord2)
	}
}

func TestRecordsOfAllVersionsAreRead(t *testing.T) {
	for version, text := range map[int]string{1: smallRecord1, 2: smallRecord2} {
		r, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeRecord(smallKey.encode(), r); err != nil || !got.Equal(small) {
			t.Errorf("version %d: got %v, %v", version, got, err)
		}
		if got, err := recordInfo(smallKey.encode(), r); err != nil || got != infoOf(small) {
			t.Errorf("version %d: got info %v, %v", version, got, err)
		}
	}
}

func TestRecordIsBoundToItsKey(t *testing.T) {
	r := record(t, []byte("key"), scan.Snapshot{Image: "image"})
	if _, err := decodeRecord([]byte("other"), r); err == nil {
		t.Error("a record was read under another key")
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	name := []byte("key")
	r := record(t, name, scan.Snapshot{Image: "image", Tags: []string{"1", "2"}, FirstSeen: []int64{1, 2}, Since: 1})
	for bit := range len(r) * 8 {
		flipped := bytes.Clone(r)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeRecord(name, flipped); err == nil {
			t.Errorf("bit %d can be flipped", bit)
		}
		if _, err := recordInfo(name, flipped); err == nil {
			t.Errorf("bit %d can be flipped, and the info is still believed", bit)
		}
	}
	for n := range r {
		if _, err := decodeRecord(name, r[:n]); err == nil {
			t.Errorf("record can be cut to %d bytes", n)
		}
	}
}

func TestDecodingAllocatesOnceForAllTags(t *testing.T) {
	payload := encodePayload(realSnapshots(t)["golang"])
	allocs := testing.AllocsPerRun(10, func() {
		if _, err := parsePayload(payload); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 8 {
		t.Errorf("decoding a payload allocates %v times", allocs)
	}
}

// TestHostilePayloads has payloads that claim far more than they hold.
func TestHostilePayloads(t *testing.T) {
	const huge = 1 << 62
	head := []byte{0, 0} // no image, since 0
	number := func(b []byte, n uint64) []byte { return binary.AppendUvarint(slices.Clone(b), n) }
	for reason, payload := range map[string][]byte{
		"nothing":               {},
		"an endless image":      number(nil, huge),
		"endlessly many tags":   number(head, huge),
		"a tag without bytes":   append(slices.Clone(head), 1, 0x0f, 0x7f),
		"an endless tag":        number(append(slices.Clone(head), 1, 0x0f), huge),
		"sharing with no tag":   append(slices.Clone(head), 1, 0x11, 'a'),
		"endless times":         number(append(slices.Clone(head), 0), huge),
		"an endless run":        number(append(slices.Clone(head), 1, 0x01, 'a', 1, 0, 1), huge),
		"a run of none":         append(slices.Clone(head), 1, 0x01, 'a', 1, 0, 1, 0),
		"a time that is none":   append(slices.Clone(head), 1, 0x01, 'a', 1, 0, 2),
		"something at the end":  append(slices.Clone(head), 0, 0, 0),
		"tags that are equal":   append(slices.Clone(head), 2, 0x01, 0x10, 'a', 1, 0, 1, 2),
		"a quadratic expansion": quadratic(),
	} {
		if s, err := parsePayload(payload); err == nil {
			t.Errorf("%s: payload was read as %d tags", reason, len(s.Tags))
		}
	}
}

// quadratic returns a payload of some 2 MB whose tags would have 100 GB: each
// repeats a first one of 1 MB.
func quadratic() []byte {
	const size, count = 1 << 20, 100_000
	b := []byte{0, 0}
	b = binary.AppendUvarint(b, count+1)
	b = appendHead(b, 0, size)
	for range count {
		b = appendHead(b, size, 1)
	}
	return append(b, make([]byte, size+count+10)...)
}

func TestInflateTrustsNoSize(t *testing.T) {
	bomb, err := appendPacked(nil, make([]byte, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	in := &input{rest: bomb[1:]}
	size := in.uvarint()
	for _, claimed := range []uint64{0, size - 1, size + 1, maxPayload, maxPayload + 1, 1 << 63} {
		if _, err := inflate(claimed, in.rest); err == nil {
			t.Errorf("%d bytes were inflated as %d", size, claimed)
		}
	}
	if got, err := inflate(size, in.rest); err != nil || uint64(len(got)) != size {
		t.Errorf("inflate() = %d bytes, %v", len(got), err)
	}
}

func TestValidateLimits(t *testing.T) {
	for reason, s := range map[string]scan.Snapshot{
		"too many tags": {Tags: make([]string, MaxTags+1), FirstSeen: make([]int64, MaxTags+1)},
		"too long tags": {Image: "i", Tags: []string{strings.Repeat("a", MaxTagBytes)}, FirstSeen: []int64{0}},
	} {
		if err := validate(s); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: validate() = %v, want ErrTooLarge", reason, err)
		}
	}
	if err := validate(scan.Snapshot{Tags: []string{strings.Repeat("a", MaxTagBytes)}, FirstSeen: []int64{0}}); err != nil {
		t.Errorf("validate() of the longest tags = %v", err)
	}
}

// FuzzDecode reads arbitrary bytes as payload and as record. What can be read
// must be a snapshot that can be stored, and come back the same.
func FuzzDecode(f *testing.F) {
	name := []byte("key")
	for _, s := range []scan.Snapshot{
		{},
		{Image: "image", Tags: []string{"", "a", "ab", "b"}, FirstSeen: []int64{5, 5, -1, 9}, Since: 1},
		{Tags: []string{strings.Repeat("a", 20), strings.Repeat("a", 40)}, FirstSeen: []int64{0, 0}},
	} {
		f.Add(encodePayload(s))
		f.Add(record(f, name, s)[recordHeader:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkDecoded(t, name, data, parsePayload)

		for _, version := range []byte{recordNoInfo, recordVersion} {
			r := append(make([]byte, recordHeader), data...)
			r[0] = version
			binary.LittleEndian.PutUint32(r[1:], recordChecksum(name, r))
			checkDecoded(t, name, r, func(r []byte) (scan.Snapshot, error) { return decodeRecord(name, r) })
			_, _ = recordInfo(name, r) // must not panic, whatever it says
		}
	})
}

func checkDecoded(t *testing.T, name, data []byte, decode func([]byte) (scan.Snapshot, error)) {
	t.Helper()
	s, err := decode(data)
	if err != nil {
		return
	}
	if err := validate(s); err != nil && !errors.Is(err, ErrTooLarge) {
		t.Fatalf("decoded snapshot is invalid: %v", err)
	}
	if again, err := decodeRecord(name, record(t, name, s)); err != nil || !again.Equal(s) {
		t.Fatalf("decoded snapshot does not come back: %v", err)
	}
}
