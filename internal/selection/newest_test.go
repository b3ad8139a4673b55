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

// known returns times from a map. A negative one is none.
func known(times map[string]int64) Times {
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
	g.Expect(found).To(BeFalse(), "no time is known")
	g.Expect(rule.Judge("main-a").Reason).To(Equal("has no time that is known yet"))

	timed := rule.WithTimes(known(map[string]int64{"main-a": 100, "main-b": 300, "main-c": 300, "main-d": 900, "main-e": -1, "v9": 999}))
	explanation := timed.Explain(tags)
	g.Expect(explanation.Ranked).To(Equal([]Choice{
		{Tag: "main-c", Key: "1970-01-01T00:05:00Z"}, {Tag: "main-b", Key: "1970-01-01T00:05:00Z"}, {Tag: "main-a", Key: "1970-01-01T00:01:40Z"},
	}), "the later first, and the greater in byte order of two at one time")
	g.Expect(explanation.Rejected).To(Equal([]Verdict{
		{Tag: "main-d", Reason: "is held back by spec.exclude", Cause: CauseHeldBack},
		{Tag: "main-e", Key: "main-e", Reason: "does not say when it was created", Cause: CauseNoTime},
		{Tag: "main-f", Key: "main-f", Reason: "was not read", Cause: CauseNoTime},
		{Tag: "v9", Reason: `does not match filterTags.pattern "^main-"`, Cause: CausePattern},
	}))
	best, _ := timed.Select(tags)
	g.Expect(best).To(Equal(explanation.Ranked[0]))
	g.Expect(timed.Precedence("main-b", "main-a")).To(Equal(`"1970-01-01T00:05:00Z" is later than "1970-01-01T00:01:40Z"`))
	g.Expect(timed.Precedence("main-c", "main-b")).To(ContainSubstring("compare as equal"))
	_, found = rule.Select(tags)
	g.Expect(found).To(BeFalse(), "the rule itself knows no times, whoever was provided with some")
}

func TestNewest_RejectsUnknownTimeSource(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec v1.ImagePolicySpec
		want string
	}{
		{"another time", v1.ImagePolicySpec{Policy: newest("Pushed")}, `spec.policy.newest.by "Pushed" is invalid: there is no such time: write "Created" or "FirstSeen"`},
		{"a part of the tag", v1.ImagePolicySpec{Policy: newest(v1.TimeFirstSeen), FilterTags: &v1.TagFilter{Pattern: "^(.*)$", Extract: "$1"}},
			`spec.filterTags.extract "$1" is invalid: newest compares times, and no part of a tag: remove spec.filterTags.extract`},
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
	g.Expect(rule.WithTimes(known(nil))).To(BeIdenticalTo(rule))
}

// TestExclude_SelectsAsIfTagsWereAbsent tests, for every kind of policy, that holding
// tags back selects what would be selected if they were not listed.
func TestExclude_SelectsAsIfTagsWereAbsent(t *testing.T) {
	tags := []string{"1.0.0", "1.2.0", "2.0.0", "2", "10", "3.0.0-rc.1", "main", "zeta"}
	for _, policy := range []v1.ImagePolicyChoice{
		{SemVer: &v1.SemVerPolicy{Range: "*"}}, {Numerical: &v1.NumericalPolicy{}}, {Numerical: &v1.NumericalPolicy{Order: "desc"}},
		{Alphabetical: &v1.AlphabeticalPolicy{}}, {Alphabetical: &v1.AlphabeticalPolicy{Order: "desc"}},
	} {
		for mask := range 1 << len(tags) {
			var held, left []string
			for i, tag := range tags {
				if mask&(1<<i) != 0 {
					held = append(held, tag)
				} else {
					left = append(left, tag)
				}
			}
			g := NewWithT(t)
			all, err := Compile(&v1.ImagePolicySpec{Policy: policy})
			g.Expect(err).NotTo(HaveOccurred())
			rule, err := Compile(&v1.ImagePolicySpec{Policy: policy, Exclude: held})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(rule.String()).To(Equal(all.String()))
			g.Expect(slices.Collect(rule.Ranking(tags))).To(Equal(slices.Collect(all.Ranking(left))), strings.Join(held, " "))
			selector := rule.Selector()
			selector.Add(tags[:3])
			selector.Add(tags[3:])
			got, found := selector.Best()
			want, wanted := all.Select(left)
			g.Expect(found).To(Equal(wanted))
			g.Expect(got).To(Equal(want))
		}
	}
}
