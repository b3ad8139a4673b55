// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"slices"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/admission"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// explainTag explains the outcome for one tag. The rule is applied to a tag that is not listed
// too, since pushing it would not help if it is rejected.
func (c *Case) explainTag(r *Result, o Options, l Listing, listed bool, ranked []selection.Choice) *TagExplanation {
	rejected := c.rejection(o.Tag)
	s := &TagExplanation{Tag: o.Tag, Cause: rejected.Cause, Reason: rejected.Reason}
	switch {
	case c.isUnranked(o.Tag, s.Cause):
		s.Verdict, s.Cause, s.Reason = Unranked, "", "is a candidate, but its rank is not known here"
	case s.Cause == CauseExcluded:
		s.Verdict, s.Reason = Excluded, "is excluded by "+c.itemText(rejected.Item)
	case rejected.isExcluded():
		s.Verdict = Excluded
	case s.Cause != "":
		s.Verdict = Rejected
	case listed:
		c.addRank(s, ranked)
		c.addVerdict(s, r, *o.GateResults)
	default:
		s.Reason = c.hypothesis(o.Tag, r)
	}
	if !listed {
		s.Verdict, s.Reason = NotListed, absence(o, l)+"; it "+s.Reason
	}
	return s
}

// absence describes where the tag is missing.
func absence(o Options, l Listing) string {
	switch {
	case o.TagExists:
		return "is in the registry, but missing from its list of tags, and only listed tags are selected"
	case l.Source == FromRegistry:
		return "is not in the registry"
	case l.Partial:
		return "is not among the tags that the status names, which are only a part of all tags"
	default:
		return "is not among the tags"
	}
}

// addRank describes the rank of a candidate.
func (c *Case) addRank(s *TagExplanation, ranked []selection.Choice) {
	i := slices.IndexFunc(ranked, func(choice selection.Choice) bool { return choice.Tag == s.Tag })
	s.Rank, s.Key = i+1, ranked[i].Key
	switch {
	case c.timesUnknown:
		s.Verdict, s.Reason = Selected, "is the tag that the status names"
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

// addVerdict adds the result of the gates to the explanation of a candidate.
func (c *Case) addVerdict(s *TagExplanation, r *Result, results GateResults) {
	if r.Gates == nil {
		return
	}
	verdict, evaluated := results.verdictOn(s.Tag)
	switch {
	case r.Selected != nil && r.Selected.Tag == s.Tag:
		s.Verdict, s.Behind = Selected, ""
		s.Reason = fmt.Sprintf("ranks %d of the candidates, and is the best one that %s", s.Rank, passes(r.Selected.Verdict))
	case r.Selected != nil && r.Selected.Rank < s.Rank:
		s.Verdict, s.Behind = RunnerUp, r.Selected.Tag
		s.Reason = fmt.Sprintf("is a candidate, and ranks %d, behind %s: %s", s.Rank, s.Behind, c.rule.Precedence(s.Behind, s.Tag))
	case evaluated && admission.Blocks(verdict.Verdict):
		s.Verdict = Stopped
		s.Reason = fmt.Sprintf("is a candidate, and ranks %d", s.Rank)
	case !evaluated && results.unreported(s.Tag, c.rule):
		s.Verdict = Stopped
		s.Reason += "; the controller passed it over, but the status lists too few candidates to include the reason"
		return
	default:
		s.Verdict = RunnerUp
	}
	if !evaluated {
		s.Reason += "; its image was not evaluated"
		return
	}
	s.Evaluated = &verdict
	origin := "evaluated here: "
	if results.By == ByController {
		origin = "the controller reports: "
	}
	s.Reason += "; " + origin + VerdictText(verdict.Verdict, verdict.Gate, verdict.Message)
}

// passes describes the verdict on the selected candidate.
func passes(verdict v1.CandidateVerdict) string {
	if verdict == NotEvaluated || verdict == Unknown {
		return "may pass the gates"
	}
	return "passes the gates"
}

// hypothesis describes the outcome for an acceptable tag if it were listed.
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
