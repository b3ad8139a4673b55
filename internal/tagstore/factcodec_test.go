// SPDX-License-Identifier: Apache-2.0

package tagstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// someFact returns a fact of which n tells all.
func someFact(n int) admission.Fact {
	random := rand.New(rand.NewPCG(uint64(n), 41))
	fact := admission.Fact{
		Digest: fmt.Sprintf("sha256:%016x%048x", random.Uint64(), n), Seen: int64(n), Moved: random.IntN(2) == 0, Read: random.IntN(2) == 0,
	}
	if fact.Read {
		fact.Created = int64(random.Uint64())
		fact.CreatedBy = admission.CreatedBy(random.IntN(int(admission.LastCreatedBy) + 1))
		for range random.IntN(4) {
			platforms := append(slices.Clone(commonPlatforms), "", "plan9/386", strings.Repeat("long", random.IntN(50)))
			fact.Platforms = append(fact.Platforms, platforms[random.IntN(len(platforms))])
		}
	}
	for range random.IntN(admission.MaxVerdicts + 1) {
		fact.Verdicts = append(fact.Verdicts, admission.Verdict{
			Rule: fmt.Sprint(random.Uint64()), Since: int64(random.Uint64()), At: int64(random.Uint64()),
			Signer: strings.Repeat("s", random.IntN(200)), Problem: strings.Repeat("p", random.IntN(MaxFactText+1)),
		})
	}
	if random.IntN(8) == 0 {
		odd := []string{
			"", "sha256:", "sha512:" + strings.Repeat("0f", 64), strings.ToUpper(fact.Digest), fact.Digest[:len(fact.Digest)-1] + "g",
			fact.Digest + "0", "sha256:" + strings.ToUpper(fact.Digest[7:]),
		}
		fact.Digest = odd[random.IntN(len(odd))]
	}
	return fact
}

func TestFactsComeBack(t *testing.T) {
	seal := sealerOf([]byte("name"))
	for n := range 20_000 {
		fact := someFact(n)
		if err := validateFacts(map[string]admission.Fact{"tag": fact}); err != nil {
			t.Fatal(err)
		}
		entry := seal.encodeFact([]byte("key"), fact)
		got, err := seal.decodeFact([]byte("key"), entry)
		if err != nil || !reflect.DeepEqual(got, fact) {
			t.Fatalf("%+v came back as %+v, %v", fact, got, err)
		}
		if !bytes.Equal(entry, seal.encodeFact([]byte("key"), got)) {
			t.Fatalf("the entry of %+v is not the only one", fact)
		}
	}
}

// TestFactFormat pins what files have.
func TestFactFormat(t *testing.T) {
	fact := admission.Fact{
		Digest: "sha256:" + strings.Repeat("0a", 32), Seen: 100, Moved: true, Read: true, Created: -1, CreatedBy: admission.CreatedByLabel,
		Platforms: []string{"linux/amd64", "windows/amd64", "a/b"},
		Verdicts:  []admission.Verdict{{Rule: "r", Since: 10, At: 9, Signer: "s"}},
	}
	want := "02" + "8e519310" + // version, checksum
		"07" + strings.Repeat("0a", 32) + "c801" + "01" + "03" + // flags, digest, seen, created, source
		"03" + "01" + "0e" + "00" + "03612f62" + // platforms
		"01" + "0172" + "14" + "01" + "0173" + "00" // verdicts
	if got := fmt.Sprintf("%x", sealerOf(smallKey.encode()).encodeFact(entryKey(factEntry, "1.0"), fact)); got != want {
		t.Errorf("the entry is\n%s, want\n%s", got, want)
	}
	digest := admission.Fact{Digest: fact.Digest, Seen: 1_700_000_000}
	if n := len(sealerOf(nil).encodeFact(nil, digest)); n > 48 {
		t.Errorf("what is known by a HEAD takes %d bytes", n)
	}
}

func TestFactIsBoundToItsPlace(t *testing.T) {
	entry := sealerOf([]byte("name")).encodeFact([]byte("key"), someFact(1))
	if _, err := sealerOf([]byte("other")).decodeFact([]byte("key"), entry); err == nil {
		t.Error("a fact was read under another object")
	}
	if _, err := sealerOf([]byte("name")).decodeFact([]byte("other"), entry); err == nil {
		t.Error("a fact was read under another tag")
	}
}

func TestEveryFlippedBitOfAFactIsNoticed(t *testing.T) {
	seal, key := sealerOf([]byte("name")), []byte("key")
	entry := seal.encodeFact(key, admission.Fact{Digest: "sha256:" + strings.Repeat("ab", 32), Seen: 5, Platforms: []string{"linux/arm", "x"}})
	for bit := range len(entry) * 8 {
		flipped := bytes.Clone(entry)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, err := seal.decodeFact(key, flipped); err == nil {
			t.Errorf("bit %d can be flipped", bit)
		}
	}
	for n := range entry {
		if _, err := seal.decodeFact(key, entry[:n]); err == nil {
			t.Errorf("the entry can be cut to %d bytes", n)
		}
	}
}

// TestHostileFacts has contents that claim more than they hold, or that no
// encoder makes.
func TestHostileFacts(t *testing.T) {
	head := []byte{0, 0, 0, 0, 0} // no flags, no digest, no times, no source
	number := func(b []byte, n uint64) []byte { return binary.AppendUvarint(slices.Clone(b), n) }
	for reason, content := range map[string][]byte{
		"nothing":                  {},
		"an unknown flag":          {8, 0, 0, 0, 0, 0, 0},
		"an unknown source":        {0, 0, 0, 0, byte(admission.LastCreatedBy) + 1, 0, 0},
		"a digest that is cut":     {flagSHA256, 1, 2, 3},
		"an endless digest":        number([]byte{0}, 1<<62),
		"too many platforms":       number(head, MaxPlatforms+1),
		"endlessly many platforms": number(head, 1<<62),
		"an unknown platform":      append(number(number(head, 1), uint64(len(commonPlatforms)+1)), 0),
		"too long a platform":      append(number(number(number(head, 1), 0), MaxFactText+1), make([]byte, MaxFactText+2)...),
		"too many verdicts":        append(number(number(head, 0), admission.MaxVerdicts+1), make([]byte, 100)...),
		"something at the end":     append(slices.Clone(head), 0, 0, 0),
	} {
		if fact, err := parseFact(&input{rest: content}); err == nil {
			t.Errorf("%s: was read as %+v", reason, fact)
		}
	}
	if _, err := parseFact(&input{rest: append(slices.Clone(head), 0, 0)}); err != nil {
		t.Errorf("the least fact: %v", err)
	}
}

// FuzzDecodeFact reads arbitrary bytes as an entry. What can be read must be a
// fact that can be stored, and come back the same.
func FuzzDecodeFact(f *testing.F) {
	seal, key := sealerOf([]byte("name")), []byte("key")
	for n := range 20 {
		f.Add(seal.encodeFact(key, someFact(n))[entryHeader:])
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		fact, err := seal.decodeFact(key, seal.seal(key, append(newEntry(), content...)))
		if err != nil {
			return
		}
		if err := validateFacts(map[string]admission.Fact{"tag": fact}); err != nil {
			t.Fatalf("the decoded fact is invalid: %v", err)
		}
		if again, err := seal.decodeFact(key, seal.encodeFact(key, fact)); err != nil || !reflect.DeepEqual(again, fact) {
			t.Fatalf("%+v came back as %+v, %v", fact, again, err)
		}
	})
}
