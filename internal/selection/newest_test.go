// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"errors"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

func newest(by v1.TimeSource) v1.ImagePolicyChoice {
	return v1.ImagePolicyChoice{Newest: &v1.NewestPolicy{By: by}}
}

// timesFrom returns Times with the times of a map. Negative ones stand for unknown times.
func timesFrom(times map[string]int64) Times {
	return func(tag string) (int64, string) {
		at, found := times[tag]
		switch {
		case !found:
			return 0, "was not read"
		case at < 0:
			return 0, "does not say when it was created"
		}
		return at, ""
	}
}

func TestNewest_RanksByTime(t *testing.T) {
	g := NewWithT(t)
	rule, err := Compile(&v1.ImagePolicySpec{Policy: newest(v1.TimeCreated), FilterTags: &v1.TagFilter{Pattern: "^main-"}, Exclude: []string{"main-d"}})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(rule.String()).To(Equal(`most recently created, of the tags that match "^main-"`))
	g.Expect(rule.Times()).To(Equal(v1.TimeCreated))

	tags := []string{"main-a", "main-b", "main-c", "main-d", "main-e", "main-f", "v9"}
	_, found := rule.Select(tags)
	g.Expect(found).To(BeFalse(), "without times")
	g.Expect(rule.Evaluate("main-a").Reason).To(Equal("has no known time yet"))

	withTimes := rule.WithTimes(timesFrom(map[string]int64{"main-a": 100, "main-b": 300, "main-c": 300, "main-d": 900, "main-e": -1, "v9": 999}))
	explanation := withTimes.Explain(tags)
	g.Expect(explanation.Ranked).To(Equal([]Choice{
		{Tag: "main-c", Key: "1970-01-01T00:05:00Z"}, {Tag: "main-b", Key: "1970-01-01T00:05:00Z"}, {Tag: "main-a", Key: "1970-01-01T00:01:40Z"},
	}), "the latest first, and equal times in byte order")
	g.Expect(explanation.Rejected).To(Equal([]Verdict{
		{Tag: "main-d", Reason: "is held back by spec.exclude", Cause: CauseExcluded},
		{Tag: "main-e", Key: "main-e", Reason: "does not say when it was created", Cause: CauseNoTime},
		{Tag: "main-f", Key: "main-f", Reason: "was not read", Cause: CauseNoTime},
		{Tag: "v9", Reason: `does not match filterTags.pattern "^main-"`, Cause: CausePattern},
	}))
	best, _ := withTimes.Select(tags)
	g.Expect(best).To(Equal(explanation.Ranked[0]))
	g.Expect(withTimes.Precedence("main-b", "main-a")).To(Equal(`"1970-01-01T00:05:00Z" is later than "1970-01-01T00:01:40Z"`))
	g.Expect(withTimes.Precedence("main-c", "main-b")).To(ContainSubstring("compare as equal"))
	_, found = rule.Select(tags)
	g.Expect(found).To(BeFalse(), "WithTimes does not change the rule itself")
}

func TestNewest_RejectsUnknownTimeSource(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec v1.ImagePolicySpec
		want string
	}{
		{"an unknown time source", v1.ImagePolicySpec{Policy: newest("Pushed")}, `spec.policy.newest.by "Pushed" is invalid: there is no such time: write "Created" or "FirstSeen"`},
		{"extract", v1.ImagePolicySpec{Policy: newest(v1.TimeFirstSeen), FilterTags: &v1.TagFilter{Pattern: "^(.*)$", Extract: "$1"}},
			`spec.filterTags.extract "$1" is invalid: newest compares times, not parts of a tag: remove spec.filterTags.extract`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := Compile(&tt.spec)
			g.Expect(err).To(MatchError(tt.want))
			invalid := &InvalidError{}
			g.Expect(errors.As(err, &invalid)).To(BeTrue())
		})
	}
}

func TestTimes_IsEmptyForOtherPolicies(t *testing.T) {
	g := NewWithT(t)
	rule, err := compileParts(v1.ImagePolicyChoice{Numerical: &v1.NumericalPolicy{}}, nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(rule.Times()).To(BeEmpty())
	g.Expect(rule.WithTimes(timesFrom(nil))).To(BeIdenticalTo(rule))
}

// TestExclude_SelectsAsIfTagsWereAbsent expects excluded tags to have no effect for any kind of
// policy.
func TestExclude_SelectsAsIfTagsWereAbsent(t *testing.T) {
	tags := []string{"1.0.0", "1.2.0", "2.0.0", "2", "10", "3.0.0-rc.1", "main", "zeta"}
	for _, policy := range []v1.ImagePolicyChoice{
		{SemVer: &v1.SemVerPolicy{Range: "*"}}, {Numerical: &v1.NumericalPolicy{}}, {Numerical: &v1.NumericalPolicy{Order: "desc"}},
		{Alphabetical: &v1.AlphabeticalPolicy{}}, {Alphabetical: &v1.AlphabeticalPolicy{Order: "desc"}},
	} {
		for mask := range 1 << len(tags) {
			var excluded, remaining []string
			for i, tag := range tags {
				if mask&(1<<i) != 0 {
					excluded = append(excluded, tag)
				} else {
					remaining = append(remaining, tag)
				}
			}
			g := NewWithT(t)
			all, err := Compile(&v1.ImagePolicySpec{Policy: policy})
			g.Expect(err).NotTo(HaveOccurred())
			rule, err := Compile(&v1.ImagePolicySpec{Policy: policy, Exclude: excluded})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(rule.String()).To(Equal(all.String()))
			g.Expect(slices.Collect(rule.Ranking(tags))).To(Equal(slices.Collect(all.Ranking(remaining))), strings.Join(excluded, " "))
			accumulator := rule.NewAccumulator()
			accumulator.Add(tags[:3])
			accumulator.Add(tags[3:])
			got, found := accumulator.Best()
			want, wanted := all.Select(remaining)
			g.Expect(found).To(Equal(wanted))
			g.Expect(got).To(Equal(want))
		}
	}
}

func TestOfMatching_SelectsTheSameTag(t *testing.T) {
	g := NewWithT(t)
	for name, spec := range map[string]v1.ImagePolicySpec{
		"pattern":          {FilterTags: &v1.TagFilter{Pattern: "^v"}},
		"pattern, extract": {FilterTags: &v1.TagFilter{Pattern: "^v(?P<n>.*)$", Extract: "$n"}},
		"exclude":          {Exclude: []string{"v3"}},
	} {
		spec.Policy.Numerical = &v1.NumericalPolicy{}
		if name != "pattern, extract" {
			spec.Policy = v1.ImagePolicyChoice{Alphabetical: &v1.AlphabeticalPolicy{}}
		}
		rule, err := Compile(&spec)
		g.Expect(err).NotTo(HaveOccurred(), name)
		var matching []string
		for _, tag := range []string{"v1", "w9", "v3", "v2", "sha256-" + strings.Repeat("a", 64)} {
			if rule.MatchesFilter(tag) {
				matching = append(matching, tag)
			}
		}
		want, _ := rule.Select(matching)
		got, found := rule.OfMatching().Select(matching)
		g.Expect(found).To(BeTrue(), name)
		g.Expect(got).To(Equal(want), name)
		g.Expect(rule.OfMatching().MatchesFilter("w9")).To(Equal(spec.FilterTags == nil || spec.FilterTags.Extract == ""), name)
	}
}
