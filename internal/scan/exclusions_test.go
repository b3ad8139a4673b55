// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// TestExclusions_SuffixMatchesLikeExpression checks that comparing suffixes is equivalent to
// matching the expressions.
func TestExclusions_SuffixMatchesLikeExpression(t *testing.T) {
	g := NewWithT(t)
	tags := []string{
		"", "a", ".sig", "sig", "xsig", "1.0.sig", "1.0.SIG", "1.0.sig.att", "sha256-ab.sig", ".sig.sig", "a.sigb", "1.0.att", "x.sig-1", ".", "g",
	}
	suffixes := 0
	for _, expression := range []string{
		`^.*\.sig$`, `.*\.sig$`, `\.sig$`, `(?s)^.*\.sig$`, `(?i)^.*\.sig$`, `^.*?\.sig$`, `^.*.sig$`, `^\.sig$`, `^.+\.sig$`,
		`(?m)\.sig$`, `\.sig`, `sig|att$`, `\.(sig|att)$`, `^.*`, `^`, `$`, ``, `.*`, `^.*$`, `^a.*\.sig$`, `^.*\.sig\z`, `\.sig\b`, `[.]sig$`,
		`^sha256-.*\.(sig|att)$`, `\.sig$$`, `^^.*\.sig$`,
	} {
		exclusions, err := CompileExclusions([]string{expression})
		g.Expect(err).NotTo(HaveOccurred())
		if exclusions.patterns[0].suffix != "" {
			suffixes++
		}
		for _, tag := range tags {
			NewWithT(t).Expect(exclusions.Excludes(tag)).To(Equal(regexp.MustCompile(expression).MatchString(tag)), "%q excludes %q", expression, tag)
		}
	}
	g.Expect(suffixes).To(BeNumerically(">=", 6), "expressions with a literal suffix")
}

func TestCompileExclusions_ErrorNamesItem(t *testing.T) {
	_, err := CompileExclusions([]string{"a", "(b"})
	const want = `invalid spec.exclusionList[1] "(b": correct the regular expression: error parsing regexp: missing closing ): ` + "`(b`"
	NewWithT(t).Expect(err).To(MatchError(want))
}

func TestMatch_ReturnsFirstMatchingItem(t *testing.T) {
	exclusions, err := CompileExclusions([]string{`^.*\.sig$`, "debug", "1"})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	if item, excluded := exclusions.Match("1-debug"); item != 1 || !excluded {
		t.Errorf("got item %d, %t, want item 1", item, excluded)
	}
	if _, excluded := exclusions.Match("2"); excluded {
		t.Error("a tag that no item matches is excluded")
	}
}

// TestCompileExclusions_BoundsMemory checks the longest lists and expressions that the API accepts.
func TestCompileExclusions_BoundsMemory(t *testing.T) {
	g := NewWithT(t)
	for name, tc := range map[string]struct {
		item     string
		rejected bool
	}{
		"many large ones":            {"x{999}y{999}z{999}", true},
		"several that are too large": {strings.Repeat("x{1000}", 146), true},
		"many long ones":             {strings.Repeat("(a|b)c", 100), false},
	} {
		list := slices.Repeat([]string{tc.item}, 25)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := CompileExclusions(list)
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		t.Logf("%-25s %6d KiB: %.150v", name, allocated>>10, err)
		g.Expect(err != nil).To(Equal(tc.rejected), "%s: %d bytes were allocated, error %v", name, allocated, err)
		g.Expect(allocated).To(BeNumerically("<=", 32<<20), "%s: %d bytes were allocated, error %v", name, allocated, err)
	}
}

// TestExclusions_OmitReferrerTags checks that signatures and attestations are excluded with the
// default list, with another one, and with an empty one.
func TestExclusions_OmitReferrerTags(t *testing.T) {
	g := NewWithT(t)
	digest := "sha256-" + strings.Repeat("0a", 32)
	tags := []string{"1.0.0", digest, digest + ".att", digest + ".sbom", digest + ".sig", digest + "0", "sha256-abc"}
	for _, list := range [][]string{{`^.*\.sig$`}, {"^rc"}, nil} {
		exclusions, err := CompileExclusions(list)
		g.Expect(err).NotTo(HaveOccurred())
		want := []string{"1.0.0", digest + "0", "sha256-abc"}
		g.Expect(exclusions.AppendRemaining(nil, tags)).To(Equal(want), "%q", list)
	}
}
