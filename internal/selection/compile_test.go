// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func TestCompile_RejectsInvalidPolicies(t *testing.T) {
	tests := []struct {
		reason string
		choice v1.ImagePolicyChoice
		filter *v1.TagFilter
		want   InvalidError
	}{
		{reason: "a policy is required", want: InvalidError{Field: "spec.policy", Problem: "no policy is chosen: set one of semver, alphabetical, numerical, natural and newest"}},
		{
			reason: "two policies are ambiguous",
			choice: v1.ImagePolicyChoice{SemVer: &v1.SemVerPolicy{Range: "*"}, Numerical: &v1.NumericalPolicy{}},
			want:   InvalidError{Field: "spec.policy", Problem: "more than one policy is chosen: keep one of semver, alphabetical, numerical, natural and newest"},
		},
		{
			reason: "the error of an invalid range quotes it and gives examples",
			choice: semVer(">>1"),
			want: InvalidError{Field: "spec.policy.semver.range", Value: ">>1",
				Problem: `improper constraint: ">>1": write a range such as "^1.2.0", ">=1.0.0 <2.0.0", "1.2.x" or "1.2 - 1.4 || 2.x"`},
		},
		{
			reason: "an empty range is invalid: \"*\" means every version",
			choice: semVer(""),
			want: InvalidError{Field: "spec.policy.semver.range",
				Problem: `improper constraint: "": write a range such as "^1.2.0", ">=1.0.0 <2.0.0", "1.2.x" or "1.2 - 1.4 || 2.x"`},
		},
		{
			reason: "the text after a wildcard is checked: the library would select everything",
			choice: semVer("*.1|2"),
			want: InvalidError{Field: "spec.policy.semver.range", Value: "*.1|2",
				Problem: `improper constraint: "*.1|2": each number is digits or a wildcard: write a range such as "^1.2.0", ">=1.0.0 <2.0.0", "1.2.x" or "1.2 - 1.4 || 2.x"`},
		},
		{
			reason: "without spaces the library would parse >=1 || 2 <=3",
			choice: semVer("1||2 - 3"),
			want: InvalidError{Field: "spec.policy.semver.range", Value: "1||2 - 3",
				Problem: `next to a hyphen range, || needs spaces around it: write a range such as "^1.2.0", ">=1.0.0 <2.0.0", "1.2.x" or "1.2 - 1.4 || 2.x"`},
		},
		{
			reason: "an order is ascending or descending",
			choice: alphabetical("up"),
			want: InvalidError{Field: "spec.policy.alphabetical.order", Value: "up",
				Problem: `there is no such order: write "asc", where the greatest is the latest, or "desc", where the least is`},
		},
		{
			reason: "numerical policies have the same orders in another field",
			choice: numerical("DESC"),
			want: InvalidError{Field: "spec.policy.numerical.order", Value: "DESC",
				Problem: `there is no such order: write "asc", where the greatest is the latest, or "desc", where the least is`},
		},
		{
			reason: "natural policies have the same orders",
			choice: natural("newest"),
			want: InvalidError{Field: "spec.policy.natural.order", Value: "newest",
				Problem: `there is no such order: write "asc", where the greatest is the latest, or "desc", where the least is`},
		},
		{
			reason: "the error of an invalid pattern quotes the position",
			choice: semVer("*"),
			filter: filtered("^(v", ""),
			want: InvalidError{Field: "spec.filterTags.pattern", Value: "^(v",
				Problem: "error parsing regexp: missing closing ): `^(v`: correct the expression, which is in RE2 syntax"},
		},
		{
			reason: "extract requires a pattern",
			choice: semVer("*"),
			filter: filtered("", "$1"),
			want: InvalidError{Field: "spec.filterTags.extract", Value: "$1",
				Problem: "it refers to the groups of pattern, which is empty: set spec.filterTags.pattern too, or remove extract"},
		},
		{
			reason: "an unknown group would give every tag the same key",
			choice: semVer("*"),
			filter: filtered("^(v)(?P<rest>.*)$", "$version"),
			want: InvalidError{Field: "spec.filterTags.extract", Value: "$version",
				Problem: `spec.filterTags.pattern "^(v)(?P<rest>.*)$" has no group "version": refer to a group of the pattern ($0, $1, $rest), or add that group to it`},
		},
		{
			reason: "without braces, the following letters belong to the name of a group",
			choice: semVer("*"),
			filter: filtered("^v([0-9]+)x$", "$1x"),
			want: InvalidError{Field: "spec.filterTags.extract", Value: "$1x",
				Problem: `spec.filterTags.pattern "^v([0-9]+)x$" has no group "1x": write "${1}x" where "x" follows the group "1"`},
		},
		{
			reason: "the same applies to named groups",
			choice: semVer("*"),
			filter: filtered("^(?P<ts>[0-9]+)", "$ts_$ts"),
			want: InvalidError{Field: "spec.filterTags.extract", Value: "$ts_$ts",
				Problem: `spec.filterTags.pattern "^(?P<ts>[0-9]+)" has no group "ts_": write "${ts}_" where "_" follows the group "ts"`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			rule, err := compileParts(tt.choice, tt.filter)
			var got *InvalidError
			g.Expect(errors.As(err, &got)).To(BeTrue(), "Compile returned %v and %v, want an InvalidError", rule, err)
			g.Expect(*got).To(BeComparableTo(tt.want), "InvalidError")
			g.Expect(err.Error()).To(ContainSubstring(tt.want.Field), "message lacks the field or the problem: %s", err)
			g.Expect(err.Error()).To(ContainSubstring(tt.want.Problem), "message lacks the field or the problem: %s", err)
		})
	}
}

func TestCompile_DescribesRule(t *testing.T) {
	tests := []struct {
		reason string
		choice v1.ImagePolicyChoice
		filter *v1.TagFilter
		want   string
	}{
		{reason: "a range is quoted unchanged", choice: semVer("^1.2 || 3.x"), want: `highest version in the range "^1.2 || 3.x"`},
		{reason: "the default order is ascending", choice: numerical(""), want: "greatest number"},
		{reason: "descending numbers", choice: numerical("desc"), want: "least number"},
		{reason: "the default order is ascending", choice: natural(""), want: "last in natural order"},
		{reason: "descending natural order with a pattern", choice: natural("desc"), filter: filtered("^v", ""), want: `first in natural order, of the tags that match "^v"`},
		{reason: "ascending texts with an empty filter", choice: alphabetical("asc"), filter: filtered("", ""), want: "last in alphabetical order"},
		{reason: "descending texts with a pattern", choice: alphabetical("desc"), filter: filtered("^main-", ""), want: `first in alphabetical order, of the tags that match "^main-"`},
		{reason: "a pattern with extract", choice: numerical("asc"), filter: filtered("^main-(?P<ts>[0-9]+)", "$ts"), want: `greatest number, of the tags that match "^main-(?P<ts>[0-9]+)", compared by "$ts"`},
		{
			reason: "dollar signs without a name and text without groups are literal",
			choice: alphabetical("asc"),
			filter: filtered("^a", "1.0.0$-$$-${-$"),
			want:   `last in alphabetical order, of the tags that match "^a", compared by "1.0.0$-$$-${-$"`,
		},
		{reason: "|| needs no spaces without a hyphen range", choice: semVer("1.x||>=3 <4"), want: `highest version in the range "1.x||>=3 <4"`},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(compileParts(tt.choice, tt.filter)).To(HaveField("String()", BeComparableTo(tt.want)), "String")
		})
	}
}
