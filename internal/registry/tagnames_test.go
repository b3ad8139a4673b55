// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// FuzzWellFormedTag compares it with the expression of the specification.
func FuzzWellFormedTag(f *testing.F) {
	for _, tag := range []string{"", "a", "_", ".a", "-a", "a.-_", "a b", "a\n", "é", "a\x00", strings.Repeat("a", 128), strings.Repeat("a", 129)} {
		f.Add(tag)
	}
	specified := regexp.MustCompile(`\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z`)
	f.Fuzz(func(t *testing.T, tag string) {
		if got, want := IsTag(tag), specified.MatchString(tag); got != want {
			t.Errorf("%q: got %t, want %t", tag, got, want)
		}
	})
}

// FuzzPlainStrings compares it with encoding/json.
func FuzzPlainStrings(f *testing.F) {
	for _, array := range []string{
		`[]`, `["a"]`, `[ "a" ,\n"b" ]`, `["a",1]`, `[1,"a"]`, `[null]`, `["a",null]`, `null`, `"a"`, `1`, `[["a"]]`, `["a",["b"]]`, `[[],"a"]`,
		`["\u0041"]`, `["é"]`, `["]"]`, `["[",","]`, `{"a":"b"}`, `[{"a":"b"}]`, "[\"\xff\"]", `["",""]`, `[true]`, `[[[]]]`, `["a",[]]`,
	} {
		f.Add(array)
	}
	f.Fuzz(func(t *testing.T, array string) {
		if !json.Valid([]byte(array)) {
			return
		}
		got, plain := plainStrings([]byte(array))
		if !plain {
			return
		}
		var want []string
		if err := json.Unmarshal([]byte(array), &want); err != nil {
			t.Fatalf("%s was read as %q, and is no list of strings: %v", array, got, err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", array, got, want)
		}
	})
}

func TestPlainStringsReadsPlainStrings(t *testing.T) {
	g := NewWithT(t)
	for array, want := range map[string][]string{`[]`: {}, `["a"]`: {"a"}, "[ \"a\" ,\n\t\"\" ]": {"a", ""}} {
		got, plain := plainStrings([]byte(array))
		g.Expect(plain).To(BeTrue(), "%s: plain", array)
		g.Expect(got).To(BeComparableTo(want), "%s: plain", array)
	}
}

// TestNamesAreDistinct compares names with the obvious way, for lists that
// ascend, or not, or from some page on no more.
func TestNamesAreDistinct(t *testing.T) {
	g := NewWithT(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var n tagSet
		var want []string
		last := 0
		for range random.IntN(4) {
			var page []string
			for range random.IntN(4) {
				if last++; random.IntN(8) == 0 {
					last = random.IntN(10)
				}
				page = append(page, string(rune('a'+last)))
			}
			before := len(want)
			for _, name := range page {
				if !slices.Contains(want, name) {
					want = append(want, name)
				}
			}
			g.Expect(n.add(slices.Clone(page))).To(Equal(len(want) > before), "%v: fresh", page)
		}
		g.Expect(n.list).To(Equal(want))
		g.Expect(n.len()).To(Equal(len(want)))
	}
}
