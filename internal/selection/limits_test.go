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

// allocated returns the number of bytes that do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestCompile_BoundsMemoryOfPatterns covers the worst patterns of the maximum length: they are
// rejected, or compiled and used with bounded memory.
func TestCompile_BoundsMemoryOfPatterns(t *testing.T) {
	g := NewWithT(t)
	const length, limit = 1024, 16 << 20
	repeat := func(piece string) string { return strings.Repeat(piece, length/len(piece)) }
	tag := strings.Repeat("x", 128)
	for name, tc := range map[string]struct {
		pattern  string
		rejected bool
	}{
		"literals":            {repeat("x{1000}"), true},
		"classes":             {repeat(`\pL{1000}`), true},
		"alternatives":        {repeat("(a|b){999}"), true},
		"folded":              {repeat("(?i:k){999}"), true},
		"optional":            {"(" + strings.Repeat("x{0,1000}", 100) + ")*", true},
		"nested repetition":   {"((((((a{10}){10}){10}){10}){10}){10})", true},
		"as large as allowed": {strings.Repeat("x{999}", 4), false},
		"many classes":        {repeat(`\pL`), false},
		"nested stars":        {repeat("(x*)*"), false},
		"stars":               {repeat("(a|b)*c"), false},
		"deep":                {strings.Repeat("(", 500) + strings.Repeat(")", 500), false},
		"ambiguous":           {strings.Repeat("x?", 300) + strings.Repeat("x", 128), false},
		"typical pattern":     {`^main-(?P<sha>[0-9a-f]{7,40})-(?P<ts>\d{1,20})$`, false},
	} {
		var rule *Rule
		var err error
		used := allocated(func() {
			rule, err = compileParts(v1.ImagePolicyChoice{Alphabetical: &v1.AlphabeticalPolicy{}}, &v1.TagFilter{Pattern: tc.pattern})
		})
		t.Logf("%-22s %6d KiB to compile: %.120v", name, used>>10, err)
		g.Expect(used).To(BeNumerically("<=", limit), "%s: bytes allocated by Compile", name)
		g.Expect(err != nil).To(Equal(tc.rejected), "%s", name, err)
		if err != nil {
			continue
		}
		g.Expect(allocated(func() { rule.Evaluate(tag) })).To(BeNumerically("<=", limit), "%s: bytes allocated for a tag", name)
	}
}

// TestCompile_BoundsMemoryOfRanges covers ranges with as many alternatives as the maximum length
// permits, and with more: explain reads files that the API server has not validated.
func TestCompile_BoundsMemoryOfRanges(t *testing.T) {
	g := NewWithT(t)
	for n, rejected := range map[int]bool{32: false, 33: true, 10_000: true} {
		alternatives := make([]string, n)
		for i := range alternatives {
			alternatives[i] = fmt.Sprint(i)
		}
		text := strings.Join(alternatives, "||")
		var rule *Rule
		var err error
		used := allocated(func() { rule, err = compileParts(v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: text}}, nil) })
		t.Logf("%d alternatives: %d KiB to compile", n, used>>10)
		g.Expect(err != nil).To(Equal(rejected), "%d alternatives: %d bytes allocated, error %v", n, used, err)
		g.Expect(used).To(BeNumerically("<=", 1<<20), "%d alternatives: %d bytes allocated, error %v", n, used, err)
		if err != nil {
			continue
		}
		used = allocated(func() {
			if choice, ok := rule.Select([]string{"1.0.0", fmt.Sprintf("%d.0.0", n-1)}); !ok || choice.Tag != fmt.Sprintf("%d.0.0", n-1) {
				t.Errorf("got %v, %v", choice, ok)
			}
		})
		g.Expect(used).To(BeNumerically("<=", 1<<20), "bytes allocated to select from two tags")
	}
}
