// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"slices"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// explainTag says what became of one tag. One that is not listed is judged too:
// to push it would not help where it is rejected.
func (c *Case) explainTag(r *Result, o Options, l Listing, listed bool, ranked []selection.Choice) *TagExplanation {
	rejected := c.rejection(o.Tag)
	s := &TagExplanation{Tag: o.Tag, Cause: rejected.Cause, Reason: rejected.Reason}
	switch {
	case c.isUnranked(o.Tag, s.Cause):
		s.Verdict, s.Cause, s.Reason = Unranked, "", "is a candidate, but how it ranks is not known here"
	case s.Cause == CauseExcluded:
		s.Verdict, s.Reason = Excluded, "is excluded by "+c.itemText(rejected.Item)
	case rejected.isExcluded():
		s.Verdict = Excluded
	case s.Cause != "":
		s.Verdict = Rejected
	case listed:
		c.place(s, ranked)
		c.describe(s, r, *o.GateResults)
	default:
		s.Reason = c.hypothesis(o.Tag, r)
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
func (c *Case) place(s *TagExplanation, ranked []selection.Choice) {
	i := slices.IndexFunc(ranked, func(choice selection.Choice) bool { return choice.Tag == s.Tag })
	s.Rank, s.Key = i+1, ranked[i].Key
	switch {
	case c.needsNoTimes:
		s.Verdict, s.Reason = Selected, "is what the status names"
	case i == 0:
		s.Verdict, s.Reason = Selected, fmt.Sprintf("is the winner of %d candidates", len(ranked))
		if len(ranked) > 1 {
			s.Reason += ", before " + ranked[1].Tag + ": " + c.rule.Precedence(s.Tag, ranked[1].Tag)
		}
	default:
		s.Verdict, s.Behind = RunnerUp, ranked[0].Tag
		s.Reason = fmt.Sprintf("is a candidate, and ranks %d of %d, behind %s: %s",
			s.Rank, len(ranked), s.Behind, c.rule.Precedence(s.Behind, s.Tag))
	}
}

// describe adds what the gates make of a candidate.
func (c *Case) describe(s *TagExplanation, r *Result, t GateResults) {
	if r.Gates == nil {
		return
	}
	j, known := t.of(s.Tag)
	switch {
	case r.Selected != nil && r.Selected.Tag == s.Tag:
		s.Verdict, s.Behind = Selected, ""
		s.Reason = fmt.Sprintf("ranks %d of the candidates, and is the best one that %s", s.Rank, passes(r.Selected.Verdict))
	case r.Selected != nil && r.Selected.Rank < s.Rank:
		s.Verdict, s.Behind = RunnerUp, r.Selected.Tag
		s.Reason = fmt.Sprintf("is a candidate, and ranks %d, behind %s: %s", s.Rank, s.Behind, c.rule.Precedence(s.Behind, s.Tag))
	case known && admission.Blocks(j.Verdict):
		s.Verdict = Stopped
		s.Reason = fmt.Sprintf("is a candidate, and ranks %d", s.Rank)
	case !known && t.unreported(s.Tag, c.rule):
		s.Verdict = Stopped
		s.Reason += "; the controller passed it over, and the status is too short to say why"
		return
	default:
		s.Verdict = RunnerUp
	}
	if !known {
		s.Reason += "; its image was not judged"
		return
	}
	s.Judged = &j
	who := "judged here: "
	if t.By == ByController {
		who = "the controller says: "
	}
	s.Reason += "; " + who + VerdictText(j.Verdict, j.Gate, j.Message)
}

// passes says what is known of a candidate that is selected.
func passes(verdict v1.CandidateVerdict) string {
	if verdict == NotEvaluated || verdict == Unknown {
		return "may pass the gates"
	}
	return "passes the gates"
}

// hypothesis says what would become of an acceptable tag that is not listed.
func (c *Case) hypothesis(tag string, r *Result) string {
	switch best := r.Selected; {
	case best != nil && c.rule.Compare(tag, best.Tag) < 0:
		return fmt.Sprintf("would be a candidate, behind %s: %s", best.Tag, c.rule.Precedence(best.Tag, tag))
	case r.Gates != nil:
		return "would be selected if its image passes the gates"
	default:
		return "would be selected"
	}
}
