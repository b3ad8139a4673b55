/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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
