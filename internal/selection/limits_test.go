// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// allocated returns how many bytes were allocated meanwhile.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestCompile_BoundsMemoryOfPatterns tests the worst patterns of the length that
// is admitted: they are refused with what to change, or are compiled, and then used
// for every tag, within bounded memory.
func TestCompile_BoundsMemoryOfPatterns(t *testing.T) {
	g := NewWithT(t)
	const length, allowed = 1024, 16 << 20
	repeat := func(piece string) string { return strings.Repeat(piece, length/len(piece)) }
	tag := strings.Repeat("x", 128)
	for name, tc := range map[string]struct {
		pattern string
		refused bool
	}{
		"literals":              {repeat("x{1000}"), true},
		"classes":               {repeat(`\pL{1000}`), true},
		"alternatives":          {repeat("(a|b){999}"), true},
		"folded":                {repeat("(?i:k){999}"), true},
		"optional":              {"(" + strings.Repeat("x{0,1000}", 100) + ")*", true},
		"nested repetition":     {"((((((a{10}){10}){10}){10}){10}){10})", true},
		"as large as allowed":   {strings.Repeat("x{999}", 4), false},
		"many classes":          {repeat(`\pL`), false},
		"nested stars":          {repeat("(x*)*"), false},
		"stars":                 {repeat("(a|b)*c"), false},
		"deep":                  {strings.Repeat("(", 500) + strings.Repeat(")", 500), false},
		"ambiguous":             {strings.Repeat("x?", 300) + strings.Repeat("x", 128), false},
		"what a pattern is for": {`^main-(?P<sha>[0-9a-f]{7,40})-(?P<ts>\d{1,20})$`, false},
	} {
		var rule *Rule
		var err error
		took := allocated(func() {
			rule, err = compileParts(v1.ImagePolicyChoice{Alphabetical: &v1.AlphabeticalPolicy{}}, &v1.TagFilter{Pattern: tc.pattern})
		})
		t.Logf("%-22s %6d KiB to compile: %.120v", name, took>>10, err)
		g.Expect(took).To(BeNumerically("<=", allowed), "%s: bytes were allocated to compile it", name)
		g.Expect(err != nil).To(Equal(tc.refused), "%s", name, err)
		if err != nil {
			continue
		}
		g.Expect(allocated(func() { rule.Judge(tag) })).To(BeNumerically("<=", allowed), "%s: bytes were allocated for a tag", name)
	}
}

// TestCompile_BoundsMemoryOfRanges tests ranges of as many alternatives as the
// length that is admitted lets them have, and of more: explain reads files that
// nobody admitted.
func TestCompile_BoundsMemoryOfRanges(t *testing.T) {
	g := NewWithT(t)
	for n, refused := range map[int]bool{32: false, 33: true, 10_000: true} {
		alternatives := make([]string, n)
		for i := range alternatives {
			alternatives[i] = fmt.Sprint(i)
		}
		text := strings.Join(alternatives, "||")
		var rule *Rule
		var err error
		took := allocated(func() { rule, err = compileParts(v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: text}}, nil) })
		t.Logf("%d alternatives: %d KiB to compile", n, took>>10)
		g.Expect(err != nil).To(Equal(refused), "%d alternatives: %d bytes were allocated, error %v", n, took, err)
		g.Expect(took).To(BeNumerically("<=", 1<<20), "%d alternatives: %d bytes were allocated, error %v", n, took, err)
		if err != nil {
			continue
		}
		took = allocated(func() {
			if choice, ok := rule.Select([]string{"1.0.0", fmt.Sprintf("%d.0.0", n-1)}); !ok || choice.Tag != fmt.Sprintf("%d.0.0", n-1) {
				t.Errorf("got %v, %v", choice, ok)
			}
		})
		g.Expect(took).To(BeNumerically("<=", 1<<20), "bytes were allocated to select of two tags")
	}
}
