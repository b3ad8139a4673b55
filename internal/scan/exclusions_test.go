// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestExclusionsMatchAsTheirExpressions compares the short cut for endings with
// the expressions themselves.
func TestExclusionsMatchAsTheirExpressions(t *testing.T) {
	tags := []string{
		"", "a", ".sig", "sig", "xsig", "1.0.sig", "1.0.SIG", "1.0.sig.att", "sha256-ab.sig", ".sig.sig", "a.sigb", "1.0.att", "x.sig-1", ".", "g",
	}
	short := 0
	for _, expression := range []string{
		`^.*\.sig$`, `.*\.sig$`, `\.sig$`, `(?s)^.*\.sig$`, `(?i)^.*\.sig$`, `^.*?\.sig$`, `^.*.sig$`, `^\.sig$`, `^.+\.sig$`,
		`(?m)\.sig$`, `\.sig`, `sig|att$`, `\.(sig|att)$`, `^.*`, `^`, `$`, ``, `.*`, `^.*$`, `^a.*\.sig$`, `^.*\.sig\z`, `\.sig\b`, `[.]sig$`,
		`^sha256-.*\.(sig|att)$`, `\.sig$$`, `^^.*\.sig$`,
	} {
		exclusions, err := CompileExclusions([]string{expression})
		if err != nil {
			t.Fatal(err)
		}
		if exclusions.patterns[0].suffix != "" {
			short++
		}
		for _, tag := range tags {
			if got, want := exclusions.Exclude(tag), regexp.MustCompile(expression).MatchString(tag); got != want {
				t.Errorf("%q excludes %q: %t, want %t", expression, tag, got, want)
			}
		}
	}
	if short < 6 {
		t.Errorf("only %d of the expressions take the short cut", short)
	}
}

func TestInvalidExclusionIsNamed(t *testing.T) {
	_, err := CompileExclusions([]string{"a", "(b"})
	const want = `invalid spec.exclusionList[1] "(b": correct the regular expression: error parsing regexp: missing closing ): ` + "`(b`"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestMatch_ReturnsTheFirstItemThatMatches(t *testing.T) {
	exclusions, err := CompileExclusions([]string{`^.*\.sig$`, "debug", "1"})
	if err != nil {
		t.Fatal(err)
	}
	if item, excluded := exclusions.Match("1-debug"); item != 1 || !excluded {
		t.Errorf("got item %d, %t, want item 1", item, excluded)
	}
	if _, excluded := exclusions.Match("2"); excluded {
		t.Error("a tag that no item matches is excluded")
	}
}

// TestWorstExclusionsTakeBoundedMemory tests the most and longest expressions that
// are admitted.
func TestWorstExclusionsTakeBoundedMemory(t *testing.T) {
	for name, tc := range map[string]struct {
		item    string
		refused bool
	}{
		"many large ones":           {"x{999}y{999}z{999}", true},
		"one that is too large":     {strings.Repeat("x{1000}", 146), true},
		"many that are long enough": {strings.Repeat("(a|b)c", 100), false},
	} {
		list := slices.Repeat([]string{tc.item}, 25)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := CompileExclusions(list)
		runtime.ReadMemStats(&after)
		took := after.TotalAlloc - before.TotalAlloc
		t.Logf("%-25s %6d KiB: %.150v", name, took>>10, err)
		if (err != nil) != tc.refused || took > 32<<20 {
			t.Errorf("%s: %d bytes were allocated, error %v", name, took, err)
		}
	}
}

// TestExclusions_LeaveReferrersOut stands for signatures and attestations that a list of the
// user's own lets through: with the default list, another one, or none.
func TestExclusions_LeaveReferrersOut(t *testing.T) {
	digest := "sha256-" + strings.Repeat("0a", 32)
	tags := []string{"1.0.0", digest, digest + ".att", digest + ".sbom", digest + ".sig", digest + "0", "sha256-abc"}
	for _, list := range [][]string{{`^.*\.sig$`}, {"^rc"}, nil} {
		exclusions, err := CompileExclusions(list)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"1.0.0", digest + "0", "sha256-abc"}
		if got := exclusions.AppendKept(nil, tags); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", list, got, want)
		}
	}
}
