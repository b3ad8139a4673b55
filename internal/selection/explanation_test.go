// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"slices"
	"strings"
)

// Explanation is what a Rule makes of a list of tags. It depends on the set of
// tags alone, not on their order.
type Explanation struct {
	// Ranked holds the candidates, best first: the first one is what Select
	// returns.
	Ranked []Choice
	// Rejected holds the tags that are no candidates, with reasons, in
	// ascending byte order.
	Rejected []Verdict
}

// Explain ranks all candidates, and says of every other tag why it is none.
// It is Select's own engine, at length.
func (r *Rule) Explain(tags []string) Explanation {
	return Explanation{Ranked: slices.Collect(r.Ranking(tags)), Rejected: r.rejected(tags)}
}

func (r *Rule) rejected(tags []string) []Verdict {
	var rejected []Verdict
	for _, tag := range tags {
		if verdict := r.Judge(tag); !verdict.Accepted() {
			rejected = append(rejected, verdict)
		}
	}
	slices.SortFunc(rejected, func(a, b Verdict) int { return strings.Compare(a.Tag, b.Tag) })
	return slices.Compact(rejected)
}
