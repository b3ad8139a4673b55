// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func TestRanking_OrdersBestFirst(t *testing.T) {
	tests := []struct {
		reason string
		choice v1.ImagePolicyChoice
		filter *v1.TagFilter
		tags   []string
		want   []string // tags, best first
	}{
		{
			reason: "versions of equal precedence fall back to the bytes of the tags",
			choice: semVer("*"),
			tags:   []string{"1.0.0", "v1.0.0", "1.00.0", "1.0.0+build.2", "1.0.0+build.10"},
			want:   []string{"v1.0.0", "1.00.0", "1.0.0+build.2", "1.0.0+build.10", "1.0.0"},
		},
		{
			reason: "equal extracted keys keep every candidate, ordered by the bytes of the tags",
			choice: semVer("*"),
			filter: filtered(`^(?P<version>v?[0-9.]+)-(?P<variant>[a-z]+)$`, "$version"),
			tags:   []string{"1.0.0-alpine", "1.0.0-slim", "v1.0.0-alpine", "1.0.1-alpine"},
			want:   []string{"1.0.1-alpine", "v1.0.0-alpine", "1.0.0-slim", "1.0.0-alpine"},
		},
		{reason: "invalid tags do not affect others", choice: semVer("*"), tags: []string{"latest", "1.0.0", "", "v", "1.0.0-\xff", "99999999999999999999.0.0"}, want: []string{"1.0.0"}},
		{
			reason: "numbers beyond the precision of float64",
			choice: numerical("asc"),
			tags:   []string{"9007199254740993", "9007199254740992", "9007199254740992.5", "100000000000000000000000000000000000001", "100000000000000000000000000000000000000"},
			want:   []string{"100000000000000000000000000000000000001", "100000000000000000000000000000000000000", "9007199254740993", "9007199254740992.5", "9007199254740992"},
		},
		{reason: "a short commit is not a number of 12,345 digits", choice: numerical("asc"), tags: []string{"7e12345", "41", "42", "1E9"}, want: []string{"42", "41"}},
		{reason: "equal numbers fall back to the bytes of the tags", choice: numerical("asc"), tags: []string{"7", "07", "7.0", "+7"}, want: []string{"7.0", "7", "07", "+7"}},
		{reason: "in the same direction if the order is descending", choice: numerical("desc"), tags: []string{"8", "7", "07"}, want: []string{"7", "07", "8"}},
		{reason: "texts by their bytes, not in natural order", choice: alphabetical("asc"), tags: []string{"a", "B", "b10", "b9", ""}, want: []string{"b9", "b10", "a", "B", ""}},
		{reason: "the least text is the latest if the order is descending", choice: alphabetical("desc"), tags: []string{"b", "a", "c"}, want: []string{"a", "b", "c"}},
		{
			reason: "equal extracted texts fall back to the bytes of the tags, in both orders",
			choice: alphabetical("desc"),
			filter: filtered("^[0-9]-(.*)$", "$1"),
			tags:   []string{"1-a", "2-a", "1-b"},
			want:   []string{"2-a", "1-a", "1-b"},
		},
		{reason: "duplicates are removed", choice: numerical("asc"), tags: []string{"1", "2", "2", "1", "2"}, want: []string{"2", "1"}},
		{reason: "no tags, no candidates", choice: alphabetical("asc")},
		{reason: "tags, no candidates", choice: semVer("^2"), tags: []string{"latest", "1.0.0", "3.0.0"}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			rule := compiled(t, tt.choice, tt.filter)
			var got []string
			for choice := range rule.Ranking(tt.tags) {
				got = append(got, choice.Tag)
			}
			NewWithT(t).Expect(got).To(BeComparableTo(tt.want), "Ranking")
			best, found := rule.Select(tt.tags)
			if found != (len(tt.want) > 0) || found && best.Tag != tt.want[0] {
				t.Errorf("Select returned %+v and %t, want the first of %q", best, found, tt.want)
			}
		})
	}
}

func TestRanking_CanBeStoppedAndRestarted(t *testing.T) {
	ranking := compiled(t, numerical("asc"), nil).Ranking([]string{"2", "1", "3"})
	for _, limit := range []int{1, 2, 3, 1} {
		var got []string
		for choice := range ranking {
			if got = append(got, choice.Tag); len(got) == limit {
				break
			}
		}
		NewWithT(t).Expect(got).To(BeComparableTo([]string{"3", "2", "1"}[:limit]), "first %d of the ranking", limit)
	}
}

func TestCompare_RanksCandidatesAboveRejectedTags(t *testing.T) {
	tests := []struct {
		reason string
		choice v1.ImagePolicyChoice
		a, b   string
		want   int
	}{
		{"a tag equals itself", semVer("*"), "1.0.0", "1.0.0", 0},
		{"a candidate ranks above a tag outside the range", semVer("^1"), "1.0.0", "2.0.0", 1},
		{"a tag that is not a version ranks below a candidate", semVer("^1"), "latest", "1.0.0", -1},
		{"rejected tags compare by their bytes", semVer("^1"), "latest", "edge", 1},
		{"a rejected tag equals itself", semVer("^1"), "edge", "edge", 0},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			rule := compiled(t, tt.choice, nil)
			g.Expect(rule.Compare(tt.a, tt.b)).To(Equal(tt.want), "Compare(%q, %q)", tt.a, tt.b)
			g.Expect(rule.Compare(tt.b, tt.a)).To(Equal(-tt.want), "Compare(%q, %q)", tt.b, tt.a)
		})
	}
}

func TestPrecedence_ExplainsOrder(t *testing.T) {
	for _, tt := range []struct {
		reason string
		rule   *Rule
		a, b   string
		want   string
	}{
		{"versions by precedence", compiled(t, semVer("*"), nil), "1.10.0", "1.9.0", `"1.10.0" is a higher version than "1.9.0"`},
		{"equal versions by bytes", compiled(t, semVer("*"), nil), "v1.0.0", "1.0.0", `they compare as equal, and "v1.0.0" is greater than "1.0.0" in byte order`},
		{"numbers by value", compiled(t, numerical("asc"), nil), "10", "9", `"10" is a greater number than "9"`},
		{"numbers in descending order", compiled(t, numerical("desc"), nil), "9", "10", `"9" is a lesser number than "10"`},
		{"texts by bytes", compiled(t, alphabetical("asc"), nil), "b", "a", `"b" comes after "a"`},
		{"texts in descending order", compiled(t, alphabetical("desc"), nil), "a", "b", `"a" comes before "b"`},
		{"natural order", compiled(t, natural("asc"), nil), "1.2.3", "1.2.3-rc1", `"1.2.3" is later in natural order than "1.2.3-rc1"`},
		{"natural order in descending order", compiled(t, natural("desc"), nil), "rc9", "rc10", `"rc9" is earlier in natural order than "rc10"`},
		{"equal in natural order, by bytes", compiled(t, natural("desc"), nil), "1.0-rc1", "1.0-RC01", `they compare as equal, and "1.0-rc1" is greater than "1.0-RC01" in byte order`},
		{"keys are compared, not tags", compiled(t, numerical("asc"), filtered("^main-([0-9]+)", "$1")), "main-10-a", "main-9-b", `"10" is a greater number than "9"`},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(tt.rule.Compare(tt.a, tt.b)).To(BeNumerically(">", 0), "%q does not rank above %q", tt.a, tt.b)
			g.Expect(tt.rule.Precedence(tt.a, tt.b)).To(Equal(tt.want), "Precedence(%q, %q)", tt.a, tt.b)
		})
	}
}

// Explanation is the evaluation of a list of tags. It depends only on the set of tags.
type Explanation struct {
	// Ranked holds the candidates, best first. The first one is the result of Select.
	Ranked []Choice
	// Rejected holds the other tags with reasons, in ascending byte order.
	Rejected []Verdict
}

// Explain ranks all candidates, and returns the reason for every other tag.
func (r *Rule) Explain(tags []string) Explanation {
	return Explanation{Ranked: slices.Collect(r.Ranking(tags)), Rejected: r.rejected(tags)}
}

func (r *Rule) rejected(tags []string) []Verdict {
	var rejected []Verdict
	for _, tag := range tags {
		if verdict := r.Evaluate(tag); !verdict.Accepted() {
			rejected = append(rejected, verdict)
		}
	}
	slices.SortFunc(rejected, func(a, b Verdict) int { return strings.Compare(a.Tag, b.Tag) })
	return slices.Compact(rejected)
}
