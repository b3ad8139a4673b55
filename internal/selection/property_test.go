// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// oddTags are added to every list: none of them may get in the way.
var oddTags = []string{"", "v", "latest", "NaN", "-0", "0", "1e9", "1e-9", "01", "1.0.0", "v1.0.0", "1.0.0+a", "1.0.0-rc.1", "1.0.0-rc.01", "é", "\xff", "$1"}

// property runs a check over seeded random policies and samples of real lists.
func property(t *testing.T, check func(t *testing.T, rnd *rand.Rand, rule *Rule, tags []string)) {
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
				tags = append(tags, all[rnd.IntN(len(all))]) // some of them twice
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

// answer is what Select returns.
type answer struct {
	Choice Choice
	Found  bool
}

func ask(rule *Rule, tags []string) answer {
	choice, found := rule.Select(tags)
	return answer{Choice: choice, Found: found}
}

func TestOrderOfTagsDoesNotMatter(t *testing.T) {
	property(t, func(t *testing.T, rnd *rand.Rand, rule *Rule, tags []string) {
		selected, explained := ask(rule, tags), rule.Explain(tags)
		for range 5 {
			shuffle(rnd, tags)
			if diff := cmp.Diff(selected, ask(rule, tags)); diff != "" {
				t.Fatalf("Select depends on the order of tags:\n%s", diff)
			}
			if diff := cmp.Diff(explained, rule.Explain(tags)); diff != "" {
				t.Fatalf("Explain depends on the order of tags:\n%s", diff)
			}
		}
	})
}

func TestAnswersAgree(t *testing.T) {
	property(t, func(t *testing.T, _ *rand.Rand, rule *Rule, tags []string) {
		explained := rule.Explain(tags)
		if diff := cmp.Diff(explained.Ranked, slices.Collect(rule.Ranking(tags))); diff != "" {
			t.Errorf("Explain and Ranking differ (-explain +ranking):\n%s", diff)
		}
		want := answer{}
		if len(explained.Ranked) > 0 {
			want = answer{Choice: explained.Ranked[0], Found: true}
		}
		if diff := cmp.Diff(want, ask(rule, tags)); diff != "" {
			t.Errorf("Explain and Select differ (-explain +select):\n%s", diff)
		}
		for i, c := range explained.Ranked {
			if v := rule.Judge(c.Tag); !v.Accepted() || v.Key != c.Key {
				t.Errorf("Judge does not accept the ranked %+v: %+v", c, v)
			}
			if i > 0 && rule.Compare(explained.Ranked[i-1].Tag, c.Tag) <= 0 {
				t.Errorf("Compare does not put %q above %q", explained.Ranked[i-1].Tag, c.Tag)
			}
		}
		checkRejected(t, rule, tags, explained)
	})
}

// checkRejected checks that Judge rejects what is explained as rejected, in order, and that no tag is missing.
func checkRejected(t *testing.T, rule *Rule, tags []string, explained Explanation) {
	t.Helper()
	for _, v := range explained.Rejected {
		if v.Accepted() || v != rule.Judge(v.Tag) {
			t.Errorf("Explain rejects %+v, which Judge calls %+v", v, rule.Judge(v.Tag))
		}
	}
	if !slices.IsSortedFunc(explained.Rejected, func(a, b Verdict) int { return strings.Compare(a.Tag, b.Tag) }) {
		t.Errorf("the rejected tags are in no order: %+v", explained.Rejected)
	}
	if got, want := len(explained.Ranked)+len(explained.Rejected), len(slices.Compact(slices.Sorted(slices.Values(tags)))); got != want {
		t.Errorf("Explain tells of %d tags, want %d", got, want)
	}
}

func TestPartsDoNotMatter(t *testing.T) {
	property(t, func(t *testing.T, rnd *rand.Rand, rule *Rule, tags []string) {
		want := ask(rule, tags)
		for _, size := range []int{1, 2, 1 + rnd.IntN(50), len(tags)} {
			selector := rule.Selector()
			selector.Add(nil)
			for part := range slices.Chunk(tags, size) {
				selector.Add(part)
			}
			choice, found := selector.Best()
			if diff := cmp.Diff(want, answer{Choice: choice, Found: found}); diff != "" {
				t.Errorf("Select and a Selector in parts of %d differ (-select +selector):\n%s", size, diff)
			}
		}
	})
}
