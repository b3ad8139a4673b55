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

package explain

import (
	"fmt"
	"slices"

	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// story says what became of one tag. One that is not listed is judged too:
// to push it would not help where it is rejected.
func (c *Case) story(o Options, l Listing, considered []string, ranked []selection.Choice) *Story {
	s := &Story{Tag: o.Tag}
	verdict := c.rule.Judge(o.Tag)
	item, excluded := c.exclusions.Match(o.Tag)
	listed := slices.Contains(l.Tags, o.Tag) || slices.Contains(considered, o.Tag)
	switch {
	case excluded:
		s.Verdict, s.Cause, s.Reason = Excluded, CauseExcluded, "is excluded by "+c.itemText(item)
	case !verdict.Accepted():
		s.Verdict, s.Cause, s.Reason = Rejected, Cause(verdict.Cause), verdict.Reason
	case listed:
		c.place(s, ranked)
	default:
		s.Reason = c.hypothesis(o.Tag, ranked)
	}
	if !listed {
		s.Verdict, s.Reason = NotListed, absence(o, l)+"; it "+s.Reason
	}
	return s
}

// absence says where the tag was looked for.
func absence(o Options, l Listing) string {
	switch {
	case o.TagExists:
		return "is in the registry, but missing from its list of tags, which is what is selected from"
	case l.Source == FromRegistry:
		return "is not in the registry"
	case l.Partial:
		return "is not among the tags that the status names, which are not all"
	default:
		return "is not among the tags"
	}
}

// place says where a candidate ranks.
func (c *Case) place(s *Story, ranked []selection.Choice) {
	i := slices.IndexFunc(ranked, func(choice selection.Choice) bool { return choice.Tag == s.Tag })
	s.Rank, s.Key = i+1, ranked[i].Key
	if i == 0 {
		s.Verdict, s.Reason = Selected, fmt.Sprintf("is the winner of %d candidates", len(ranked))
		if len(ranked) > 1 {
			s.Reason += ", before " + ranked[1].Tag + ": " + c.rule.Precedence(s.Tag, ranked[1].Tag)
		}
		return
	}
	s.Verdict, s.Behind = RunnerUp, ranked[0].Tag
	s.Reason = fmt.Sprintf("is a candidate, and ranks %d of %d, behind %s: %s",
		s.Rank, len(ranked), s.Behind, c.rule.Precedence(s.Behind, s.Tag))
}

// hypothesis says what would become of an acceptable tag that is not listed.
func (c *Case) hypothesis(tag string, ranked []selection.Choice) string {
	if len(ranked) > 0 && c.rule.Compare(tag, ranked[0].Tag) < 0 {
		return fmt.Sprintf("would be a candidate, behind %s: %s", ranked[0].Tag, c.rule.Precedence(ranked[0].Tag, tag))
	}
	return "would be selected"
}
