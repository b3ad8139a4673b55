// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"regexp"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// sortRules are the policies of the columns of the table that compares them.
var sortRules = []v1.ImagePolicyChoice{
	{SemVer: &v1.SemVerPolicy{Range: "*"}},
	{Alphabetical: &v1.AlphabeticalPolicy{}},
	{Numerical: &v1.NumericalPolicy{}},
	{Natural: &v1.NaturalPolicy{}},
	{Newest: &v1.NewestPolicy{By: v1.TimeFirstSeen}},
}

// sortRulesRow matches a row of that table: an image, a pattern, and the tag that each policy selects.
var sortRulesRow = regexp.MustCompile("(?m)^\\| ([a-z]+) \\| `([^`]+)` \\| (.+) \\|$")

// TestSortRules_SelectTagsOfTable checks the table with every tag of official images that was ever
// published, and the days on which each was first seen.
func TestSortRules_SelectTagsOfTable(t *testing.T) {
	_, section, _ := strings.Cut(content(t, "docs/spec/v1/imagepolicies.md"), "\n#### Which one selects what\n")
	section, _, _ = strings.Cut(section, "\n#### ")
	rows := sortRulesRow.FindAllStringSubmatch(section, -1)
	NewWithT(t).Expect(len(rows)).To(BeNumerically(">=", 4), "rows of the table")
	for _, row := range rows {
		image, pattern, want := row[1], row[2], strings.Split(row[3], " | ")
		tags, times := firstSeen(t, image)
		var got []string
		for _, choice := range sortRules {
			rule, err := selection.Compile(&v1.ImagePolicySpec{Policy: choice, FilterTags: &v1.TagFilter{Pattern: pattern}})
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			selected := "none"
			if best, found := rule.WithTimes(times).Select(tags); found {
				selected = "`" + best.Tag + "`"
			}
			got = append(got, selected)
		}
		NewWithT(t).Expect(want).To(Equal(got), "the tags of %s that match %s", image, pattern)
	}
}

// firstSeen returns the tags of an official image, and the times when they were first seen.
func firstSeen(t *testing.T, image string) ([]string, selection.Times) {
	t.Helper()
	var tags []string
	seen := map[string]int64{}
	for line := range strings.Lines(content(t, "internal/selection/testdata/tags/"+image+".tsv")) {
		tag, day, _ := strings.Cut(strings.TrimSpace(line), "\t")
		at, err := time.Parse(time.DateOnly, day)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		tags, seen[tag] = append(tags, tag), at.Unix()
	}
	return tags, func(tag string) (int64, string) { return seen[tag], "" }
}
