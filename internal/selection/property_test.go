// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// oddTags are added to every list. None of them may affect other tags.
var oddTags = []string{"", "v", "latest", "NaN", "-0", "0", "1e9", "1e-9", "01", "1.0.0", "v1.0.0", "1.0.0+a", "1.0.0-rc.1", "1.0.0-rc.01", "é", "\xff", "$1"}

// forEachPolicy runs a check for seeded random policies and samples of real lists.
func forEachPolicy(t *testing.T, check func(t *testing.T, rnd *rand.Rand, rule *Rule, tags []string)) {
	t.Helper()
	t.Parallel()
	const policies, sampleSize = 40, 150
	for seed, image := range realLists {
		rnd := rand.New(rand.NewPCG(uint64(seed), 11))
		all := realTags(t, image)
		for range policies {
			p := randomPolicy(rnd, all)
			tags := slices.Clone(oddTags)
			for range sampleSize {
				tags = append(tags, all[rnd.IntN(len(all))]) // some are added twice
			}
			shuffle(rnd, tags)
			t.Run(fmt.Sprintf("%s/%s", image, describe(p.choice, p.filter)), func(t *testing.T) {
				check(t, rnd, compiled(t, p.choice, p.filter), tags)
			})
		}
	}
}

func shuffle(rnd *rand.Rand, tags []string) {
	rnd.Shuffle(len(tags), func(i, j int) { tags[i], tags[j] = tags[j], tags[i] })
}

// selectResult is the result of Select.
type selectResult struct {
	Choice Choice
	Found  bool
}

func selectFrom(rule *Rule, tags []string) selectResult {
	choice, found := rule.Select(tags)
	return selectResult{Choice: choice, Found: found}
}

func TestSelect_IgnoresOrderOfTags(t *testing.T) {
	forEachPolicy(t, func(t *testing.T, rnd *rand.Rand, rule *Rule, tags []string) {
		g := NewWithT(t)
		selected, explained := selectFrom(rule, tags), rule.Explain(tags)
		for range 5 {
			shuffle(rnd, tags)
			g.Expect(selectFrom(rule, tags)).To(BeComparableTo(selected), "Select depends on the order of tags")
			g.Expect(rule.Explain(tags)).To(BeComparableTo(explained), "Explain depends on the order of tags")
		}
	})
}

func TestExplain_MatchesSelectRankingAndEvaluate(t *testing.T) {
	forEachPolicy(t, func(t *testing.T, _ *rand.Rand, rule *Rule, tags []string) {
		g := NewWithT(t)
		explained := rule.Explain(tags)
		g.Expect(slices.Collect(rule.Ranking(tags))).To(BeComparableTo(explained.Ranked), "Explain and Ranking differ (-explain +ranking)")
		want := selectResult{}
		if len(explained.Ranked) > 0 {
			want = selectResult{Choice: explained.Ranked[0], Found: true}
		}
		g.Expect(selectFrom(rule, tags)).To(BeComparableTo(want), "Explain and Select differ (-explain +select)")
		for i, c := range explained.Ranked {
			if v := rule.Evaluate(c.Tag); !v.Accepted() || v.Key != c.Key {
				t.Errorf("Evaluate does not accept the ranked %+v: %+v", c, v)
			}
			if i > 0 && rule.Compare(explained.Ranked[i-1].Tag, c.Tag) <= 0 {
				t.Errorf("Compare does not rank %q above %q", explained.Ranked[i-1].Tag, c.Tag)
			}
		}
		checkRejected(t, rule, tags, explained)
	})
}

// checkRejected checks that Evaluate rejects the tags that Explain rejects, in order, and that no tag
// is missing.
func checkRejected(t *testing.T, rule *Rule, tags []string, explained Explanation) {
	t.Helper()
	g := NewWithT(t)
	for _, v := range explained.Rejected {
		g.Expect(v.Accepted()).To(BeFalse(), "Explain rejects")
		g.Expect(v).To(Equal(rule.Evaluate(v.Tag)), "Explain rejects")
	}
	g.Expect(slices.IsSortedFunc(explained.Rejected, func(a, b Verdict) int { return strings.Compare(a.Tag, b.Tag) })).To(BeTrue(), "the rejected tags are not sorted: %+v", explained.Rejected)
	g.Expect(slices.Compact(slices.Sorted(slices.Values(tags)))).To(HaveLen(len(explained.Ranked)+len(explained.Rejected)), "Explain returns each tag once")
}

func TestAccumulator_MatchesSelect(t *testing.T) {
	forEachPolicy(t, func(t *testing.T, rnd *rand.Rand, rule *Rule, tags []string) {
		want := selectFrom(rule, tags)
		for _, size := range []int{1, 2, 1 + rnd.IntN(50), len(tags)} {
			accumulator := rule.NewAccumulator()
			accumulator.Add(nil)
			for part := range slices.Chunk(tags, size) {
				accumulator.Add(part)
			}
			choice, found := accumulator.Best()
			NewWithT(t).Expect(selectResult{Choice: choice, Found: found}).To(BeComparableTo(want), "Select and an Accumulator in parts of %d differ (-select +accumulator)", size)
		}
	})
}
