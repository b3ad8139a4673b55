// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func TestEvaluate_ReturnsKeyAndReason(t *testing.T) {
	tests := []struct {
		reason string
		choice v1.ImagePolicyChoice
		filter *v1.TagFilter
		tag    string
		want   Verdict
	}{
		{
			reason: "a tag that moves is not a version",
			choice: semVer("*"),
			tag:    "26.7",
			want:   Verdict{Key: "26.7", Reason: "is not a version: it has no PATCH number (MAJOR.MINOR.PATCH is needed)", Cause: CauseNoVersion},
		},
		{
			reason: "a major version alone is not a version",
			choice: semVer("*"),
			tag:    "26",
			want:   Verdict{Key: "26", Reason: "is not a version: it has no MINOR number (MAJOR.MINOR.PATCH is needed)", Cause: CauseNoVersion},
		},
		{
			reason: "a word is not a version",
			choice: semVer("*"),
			tag:    "latest",
			want:   Verdict{Key: "latest", Reason: "is not a version: it does not start with a number (MAJOR.MINOR.PATCH is needed)", Cause: CauseNoVersion},
		},
		{
			reason: "four numbers are not a version",
			choice: semVer("*"),
			tag:    "1.2.3.4",
			want:   Verdict{Key: "1.2.3.4", Reason: "is not a version: what follows the PATCH number is neither -PRERELEASE nor +BUILD", Cause: CauseNoVersion},
		},
		{
			reason: "the numbers of a version have 64 bits",
			choice: semVer("*"),
			tag:    "1.18446744073709551616.0",
			want:   Verdict{Key: "1.18446744073709551616.0", Reason: "is not a version: a number is greater than 18446744073709551615", Cause: CauseNoVersion},
		},
		{
			reason: "prereleases have no underscores",
			choice: semVer(">=1.0.0-0"),
			tag:    "1.0.0-a_b",
			want:   Verdict{Key: "1.0.0-a_b", Reason: "is not a version: its prerelease is not made of letters, digits and hyphens, separated by dots", Cause: CauseNoVersion},
		},
		{
			reason: "numbers in prereleases have no leading zeros",
			choice: semVer(">=1.0.0-0"),
			tag:    "1.0.0-rc.01",
			want:   Verdict{Key: "1.0.0-rc.01", Reason: "is not a version: a number in its prerelease has a leading zero", Cause: CauseNoVersion},
		},
		{
			reason: "build metadata is not empty",
			choice: semVer("*"),
			filter: filtered("^(.*)$", "$1+"),
			tag:    "1.0.0",
			want:   Verdict{Key: "1.0.0+", Reason: `has the key "1.0.0+", which is not a version: its build metadata is not made of letters, digits and hyphens, separated by dots`, Cause: CauseNoVersion},
		},
		{
			reason: "a range without a prerelease accepts none",
			choice: semVer(">=1.0.0"),
			tag:    "1.2.0-rc.1",
			want:   Verdict{Key: "1.2.0-rc.1", Reason: `is a prerelease, and the range ">=1.0.0" takes none (a range takes them if a version in it has one, as in ">=1.0.0-0")`, Cause: CausePrerelease},
		},
		{
			reason: "the reason names the failed comparison",
			choice: semVer(">=1.0.0 <2.0.0"),
			tag:    "2.0.0",
			want:   Verdict{Key: "2.0.0", Reason: `is outside the range ">=1.0.0 <2.0.0": "2.0.0" is greater than or equal to "2.0.0"`, Cause: CauseRange},
		},
		{
			reason: "the reason names one comparison of every alternative",
			choice: semVer("1.2 - 1.4 || ^3.1.0"),
			tag:    "2.0.0",
			want:   Verdict{Key: "2.0.0", Reason: `is outside the range "1.2 - 1.4 || ^3.1.0": "2.0.0" is greater than "1.4", "2.0.0" is less than "3.1.0"`, Cause: CauseRange},
		},
		{
			reason: "the reason names alternatives without prereleases",
			choice: semVer("1.x || >=3.0.0-0"),
			tag:    "1.2.0-rc.1",
			want: Verdict{Key: "1.2.0-rc.1", Cause: CauseRange, Reason: `is outside the range "1.x || >=3.0.0-0": ` +
				`"1.2.0-rc.1" is a prerelease version and the constraint is only looking for release versions, "1.2.0-rc.1" is less than "3.0.0-0"`},
		},
		{
			reason: "the reason names at most four comparisons",
			choice: semVer("9 9 9 9 9 9 9 9"),
			tag:    "1.0.0",
			want: Verdict{Key: "1.0.0", Cause: CauseRange, Reason: `is outside the range "9 9 9 9 9 9 9 9": ` +
				`"1.0.0" is less than "9", "1.0.0" is less than "9", "1.0.0" is less than "9", "1.0.0" is less than "9"`},
		},
		{
			reason: "a tag without a match has no key",
			choice: semVer("*"),
			filter: filtered("^v", ""),
			tag:    "1.0.0",
			want:   Verdict{Reason: `does not match filterTags.pattern "^v"`, Cause: CausePattern},
		},
		{
			reason: "an unmatched optional group is empty",
			choice: numerical("asc"),
			filter: filtered("^build(-[0-9]+)?$", "$1"),
			tag:    "build",
			want:   Verdict{Reason: `has the key "", which is not a number: it does not start with a digit, or a sign and a digit`, Cause: CauseNoNumber},
		},
		{
			reason: "a digit follows the decimal point",
			choice: numerical("asc"),
			tag:    "5.",
			want:   Verdict{Key: "5.", Reason: "is not a number: no digit follows the decimal point", Cause: CauseNoNumber},
		},
		{
			reason: "exponents are not supported: this is a commit",
			choice: numerical("asc"),
			tag:    "7e12345",
			want:   Verdict{Key: "7e12345", Reason: "is not a number: something follows the digits", Cause: CauseNoNumber},
		},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			tt.want.Tag = tt.tag
			got := compiled(t, tt.choice, tt.filter).Evaluate(tt.tag)
			NewWithT(t).Expect(got).To(BeComparableTo(tt.want), "Evaluate(%q)", tt.tag)
		})
	}
}

func TestEvaluate_RejectsLongVersions(t *testing.T) {
	rule := compiled(t, semVer("*"), nil)
	longest := "1.0.0+" + strings.Repeat("x", semver.MaxVersionLen-len("1.0.0+"))
	if got := rule.Evaluate(longest); !got.Accepted() {
		t.Errorf("a version of %d bytes is rejected: it %s", len(longest), got.Reason)
	}
	NewWithT(t).Expect(rule.Evaluate(longest+"x").Reason).To(Equal(notVersionLength), "reason for a version of %d bytes", len(longest)+1)
}
