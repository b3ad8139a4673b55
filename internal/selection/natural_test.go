// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"math/big"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestCompareNatural_OrdersLikePeople(t *testing.T) {
	for _, tt := range []struct {
		reason string
		want   []string // in ascending order
	}{
		{"release candidates", []string{"1.0.0-rc9", "1.0.0-rc10", "1.0.0"}},
		{"builds of k3s (fluxcd/flux2#4599)", []string{"v1.30.1-rc1-k3s1", "v1.30.1-k3s2", "v1.30.1-k3s10", "v1.30.2-k3s1"}},
		{"dates with a number (fluxcd/image-reflector-controller#340)", []string{"20220209-04", "20220209-10", "20240101.9", "20240101.10"}},
		{"dates with a number (fluxcd/image-reflector-controller#250)", []string{"2024.1.5-2", "2024.1.5-10", "2024.1.10-1", "2024.10.1"}},
		{"four numbers (fluxcd/image-reflector-controller#809)", []string{"4.0.14.999-abcdef", "4.0.14.2939-abcdef", "4.0.15.1-abcdef"}},
		{"the minor version (fluxcd/image-reflector-controller#443)", []string{"2.8.9", "2.9.0", "2.9.5", "2.10.0", "2.10.14"}},
		{"integers of any length", []string{"9", "18446744073709551615", "18446744073709551616", "100000000000000000000000000000000000000"}},
		{"pre-releases, the release, its variants", []string{"1.2.3-rc1", "1.2.3rc2", "1.2.3", "1.2.3-alpine", "1.2.3-k3s1"}},
		{"variants of pre-releases", []string{"1.2.3-rc1", "1.2.3-rc1-alpine", "1.2.3-rc2", "1.2.3", "1.2.3-alpine"}},
		{"all separators", []string{"1.2.3-beta1", "1.2.3.beta2", "1.2.3_beta3", "1.2.3beta4", "1.2.3"}},
		{"all words", []string{"2.0.0-alpha", "2.0.0-beta", "2.0.0-dev", "2.0.0-pre", "2.0.0-rc", "2.0.0-snapshot", "2.0.0"}},
		{"words in upper case", []string{"2.0-RC1", "2.0-rc2", "2.0-RC10", "2.0-SNAPSHOT", "2.0"}},
		{"a pre-release of a shorter version", []string{"1.2-rc1", "1.2", "1.2.0-rc1", "1.2.0", "1.2.1"}},
		{"words that begin like one of the six", []string{"2.0.0", "2.0.0-alpine", "2.0.0-development", "2.0.0-prerelease", "2.0.0-preview", "2.0.0-rca"}},
		{"abbreviations are not words", []string{"3.14.0", "3.14.0a1", "3.14.0b2"}},
		{"words that do not follow a number", []string{"", "dev", "main", "main-dev", "main-rc1"}},
		{"two separators", []string{"1", "1--rc", "1-.rc"}},
		{"a leading v does not count before a digit", []string{"v1.0.0", "1.0.1", "v1.0.2", "1.0.10", "v", "va", "vv1"}},
		{"everything else by its bytes", []string{"-", "1", "A", "_", "a", "b", "\xff"}},
		{"leading zeros fall back to the bytes of the tags", []string{"build-007", "build-07", "build-7", "build-08", "build-8"}},
		{"the same with a v, separators and upper case", []string{"1.0.0-rc1", "1.0.0.rc1", "1.0.0RC1", "1.0.0_rc1", "1.0.0rc1", "v1.0.0-rc1", "1.0.0", "v1.0.0"}},
		{"zeros", []string{"0", "00", "0.0", "00.0", "1"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			shuffled := slices.Clone(tt.want)
			shuffle(rand.New(rand.NewPCG(1, 2)), shuffled)
			slices.SortFunc(shuffled, CompareNatural)
			NewWithT(t).Expect(shuffled).To(Equal(tt.want))
		})
	}
}

// TestSelect_CountsInRealTags selects from the tags of official images, of which an alphabetical
// policy selects others.
func TestSelect_CountsInRealTags(t *testing.T) {
	for _, tt := range []struct{ image, pattern, natural, alphabetical string }{
		{"golang", `^[0-9.]+(rc[0-9]+)?$`, "1.27.0", "1.9rc2"},
		{"postgres", `^18(beta|rc|\.)?[0-9]*$`, "18.6", "18rc1"},
		{"redis", `^8[.0-9]*(-rc[0-9]+)?$`, "8.10.1", "8.8.2"},
		{"traefik", `^v2\.[0-9.]+(-rc[0-9]+)?$`, "v2.11.55", "v2.9.9"},
	} {
		t.Run(tt.image, func(t *testing.T) {
			g := NewWithT(t)
			tags := realTags(t, tt.image)
			g.Expect(selectFrom(compiled(t, natural("asc"), filtered(tt.pattern, "")), tags).Choice.Tag).To(Equal(tt.natural))
			g.Expect(selectFrom(compiled(t, alphabetical("asc"), filtered(tt.pattern, "")), tags).Choice.Tag).To(Equal(tt.alphabetical))
		})
	}
}

func TestSelect_ComparesExtractedKeysInNaturalOrder(t *testing.T) {
	g := NewWithT(t)
	tags := []string{"main-k3s2-a", "main-k3s10-b", "main-k3s9-c"}
	filter := filtered(`^main-(?P<build>k3s[0-9]+)-`, "$build")
	g.Expect(selectFrom(compiled(t, natural("asc"), filter), tags).Choice).To(Equal(Choice{Tag: "main-k3s10-b", Key: "k3s10"}))
	g.Expect(selectFrom(compiled(t, natural("desc"), filter), tags).Choice).To(Equal(Choice{Tag: "main-k3s2-a", Key: "k3s2"}))
}

// part is a part of a key in the reference: a number, a pre-release word, the end, or a byte.
type part struct {
	class  int // -1 for a word, 0 for the end, 1 for the rest
	text   string
	number *big.Int
}

// referenceV matches a leading "v" that does not count.
var referenceV = regexp.MustCompile(`^v[0-9]`)

// referenceWord matches a pre-release word behind a number, in lower case.
var referenceWord = regexp.MustCompile(`^[-._]?(alpha|beta|dev|pre|rc|snapshot)(?:[^a-z]|$)`)

// referenceParts splits a key into parts.
func referenceParts(key string) []part {
	if referenceV.MatchString(key) {
		key = key[1:]
	}
	var parts []part
	for key != "" {
		digits := key[:len(key)-len(strings.TrimLeft(key, "0123456789"))]
		if digits == "" {
			parts, key = append(parts, part{class: 1, text: key[:1]}), key[1:]
			continue
		}
		number, _ := new(big.Int).SetString(digits, 10)
		parts, key = append(parts, part{class: 1, text: "0", number: number}), key[len(digits):]
		if word := referenceWord.FindStringSubmatchIndex(lowerCase(key)); word != nil {
			parts, key = append(parts, part{class: -1, text: lowerCase(key)[word[2]:word[3]]}), key[word[3]:]
		}
	}
	return append(parts, part{class: 0})
}

// lowerCase returns text with the letters A to Z in lower case.
func lowerCase(text string) string {
	lower := []byte(text)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}

func comparePart(a, b part) int {
	if a.number != nil && b.number != nil {
		return a.number.Cmp(b.number)
	}
	return cmp.Or(cmp.Compare(a.class, b.class), strings.Compare(a.text, b.text))
}

// referenceNatural is a second, slow implementation of the natural order without the bytes of tags.
func referenceNatural(a, b string) int {
	return slices.CompareFunc(referenceParts(a), referenceParts(b), comparePart)
}

// FuzzCompareNatural expects a total order that matches the reference.
func FuzzCompareNatural(f *testing.F) {
	for _, tags := range [][3]string{
		{"1.2.3-rc1", "1.2.3rc2", "1.2.3"}, {"1.2.3-alpine", "1.2.3-k3s1", "v1.2.3"}, {"build-007", "build-07", "build-7"},
		{"1-rc", "1-rd", "1-RC1"}, {"10", "1", "100"}, {"0", "00a", "0rc"}, {"1.2-pre", "1.2.0", "1.2-preview"}, {"\xff", "1\xff", "1ſnapshot"},
	} {
		f.Add(tags[0], tags[1], tags[2])
	}
	f.Fuzz(checkNatural)
}

func TestCompareNatural_MatchesReference(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	pieces := []string{"0", "1", "9", "00", "10", "-", ".", "_", "v", "rc", "RC", "beta", "alpha", "alpine", "pre", "preview", "dev", "snapshot", "a", "r", "z", "+", "~"}
	random := func() string {
		var text strings.Builder
		for range rnd.IntN(6) {
			text.WriteString(pieces[rnd.IntN(len(pieces))])
		}
		return text.String()
	}
	for range 100_000 {
		checkNatural(t, random(), random(), random())
	}
}

// checkNatural checks three tags against the reference, and that their order is total.
func checkNatural(t *testing.T, a, b, c string) {
	t.Helper()
	for _, pair := range [][2]string{{a, b}, {b, c}, {a, c}, {a, a}} {
		x, y := pair[0], pair[1]
		want := cmp.Or(referenceNatural(x, y), strings.Compare(x, y))
		if got, reverse := CompareNatural(x, y), CompareNatural(y, x); got != want || reverse != -want || (got == 0) != (x == y) {
			t.Fatalf("compare %q with %q: got %d, and %d in reverse, want %d", x, y, got, reverse, want)
		}
	}
	tags := []string{a, b, c}
	slices.SortFunc(tags, CompareNatural)
	if CompareNatural(tags[0], tags[2]) > 0 {
		t.Fatalf("the order is not transitive: %q", tags)
	}
}
