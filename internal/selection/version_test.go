// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
)

// parts are combined to strings that look like versions, valid or not.
var parts = []string{"v", "V", "0", "1", "2", "9", "10", "01", "18446744073709551615", "18446744073709551616", "99999999999999999999999",
	".", ".", ".", ".", "-", "-", "+", "alpha", "rc", "x", "_", " ", "é", "\n"}

func randomVersion(rnd *rand.Rand) string {
	var b strings.Builder
	if rnd.IntN(4) > 0 {
		b.WriteString([]string{"1.2.3", "v1.02.3", "0.0.0", "1.2", "1"}[rnd.IntN(5)])
	}
	for rnd.IntN(6) > 0 {
		b.WriteString(parts[rnd.IntN(len(parts))])
	}
	return b.String()
}

// checkVersion compares parseVersion with Masterminds/semver.
func checkVersion(t *testing.T, key string) (*version, *semver.Version) {
	t.Helper()
	want, err := semver.NewVersion(key)
	isVersion := err == nil && threeNumbers.MatchString(key)
	var got version
	problem := parseVersion(key, &got)
	if isVersion != (problem == "") {
		t.Fatalf("parseVersion(%q): got problem %q, want a version: %t (%v)", key, problem, isVersion, err)
	}
	if !isVersion {
		return nil, nil
	}
	if got.numbers != [3]uint64{want.Major(), want.Minor(), want.Patch()} || got.prerelease != want.Prerelease() {
		t.Fatalf("parseVersion(%q): got %+v, want %v", key, got, want)
	}
	return &got, want
}

// checkPrecedence compares compareVersions with Masterminds/semver.
func checkPrecedence(t *testing.T, a, b string) {
	t.Helper()
	left, wantLeft := checkVersion(t, a)
	right, wantRight := checkVersion(t, b)
	if left == nil || right == nil {
		return
	}
	got := compareVersions(left, right)
	if want := wantLeft.Compare(wantRight); got != want {
		t.Fatalf("precedence of %q and %q: got %d, want %d", a, b, got, want)
	}
}

func TestVersion_MatchesMasterminds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		checkPrecedence(t, randomVersion(rnd), randomVersion(rnd))
	}
	for _, image := range realLists {
		tags := realTags(t, image)
		for range 1000 {
			checkPrecedence(t, tags[rnd.IntN(len(tags))], tags[rnd.IntN(len(tags))])
		}
	}
}

func FuzzVersion(f *testing.F) {
	for _, key := range []string{"1.2.3", "v1.02.3-rc.1+b.2", "1.0.0-rc.01", "1.24-alpine3.23", "1.0.0-99999999999999999999", "1.0.0+", "1.2.3-"} {
		f.Add(key, "1.2.3-rc.1")
	}
	f.Fuzz(checkPrecedence)
}

// oddRanges have an unexpected meaning, which is that of Masterminds/semver.
var oddRanges = []string{"*", "x.1.2", "1.*.2", "^*", "~*", ">*", "<*", "<=*", ">=*", "!=*", "=*", "^0", "^0.0", "^0.0.0", "^0.0.3", "^0.2.3", "~0", "~0.0",
	"~0.0.0", "0.x", "0.0.x", "!=1", "!=1.2", "!=1.2-rc.1", "!=1-rc.1", "!=1.2.3", ">1", ">1.2", "<=1", "<=1.2", "<=0", "<1", "=>1.2.3", "=<1.2.3", "~>1.2",
	"1.2.3-rc.1", "^1.2.3-0", ">1-0", "<=1.2-0", "1-0 - 2", "1.2 - 1.4", "v1.2.3", "01.02.03", "1.2.3+build", "1.2+build", "1||2", "1 2", ">1,<3"}

// checkRange compares the check of a key with that of Masterminds/semver. Prereleases may be
// rejected before that.
func checkRange(t *testing.T, r byVersion, key string) {
	t.Helper()
	v, parsed := checkVersion(t, key)
	if v == nil {
		return
	}
	got := r.read(key, v) == rejection{} && r.accepts(v)
	if want := r.constraints.Check(parsed); got != want {
		t.Fatalf("range %q accepts %q: got %t, want %t", r.rangeText, key, got, want)
	}
}

func TestRange_MatchesMasterminds(t *testing.T) {
	for _, text := range oddRanges {
		r, err := compileRange(text)
		if err != nil {
			t.Errorf("a range that Masterminds/semver accepts is rejected: %v", err)
			continue
		}
		for n := range 4 * 4 * 4 {
			key := fmt.Sprintf("%d.%d.%d", n/16, n/4%4, n%4)
			for _, suffix := range []string{"", "-0", "-rc.1", "-rc.2", "+build"} {
				checkRange(t, r, key+suffix)
			}
		}
	}
}

func FuzzRange(f *testing.F) {
	for _, text := range oddRanges {
		f.Add(text, "1.2.3-rc.1")
	}
	f.Add("1||2 - 3", "1.2.3")
	f.Add("*.1|2", "1.2.3")
	f.Fuzz(func(t *testing.T, text, key string) {
		if r, err := compileRange(text); err == nil {
			checkRange(t, r, key)
		}
	})
}
