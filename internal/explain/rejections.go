// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// examples is how many tags stand for those that were rejected for one reason.
const examples = 3

// rejections counts the tags that are no candidates by their reasons: those
// excluded first, then in the order in which a rule asks.
func (c *Case) rejections(verdicts []selection.Verdict, excluded []exclusion) []Rejection {
	groups := make([]Rejection, 0, 4)
	byItem := map[int][]string{}
	for _, e := range excluded {
		byItem[e.item] = append(byItem[e.item], e.tag)
	}
	if tags := byItem[noItem]; len(tags) > 0 {
		groups = append(groups, group(Cause(selection.CauseReferrer), nil, c.causeText(selection.CauseReferrer), tags))
	}
	for item := range c.Repository.GetExclusionList() {
		if tags := byItem[item]; len(tags) > 0 {
			groups = append(groups, group(CauseExcluded, new(item), "excluded by "+c.itemText(item), tags))
		}
	}
	byCause := map[selection.Cause][]string{}
	for _, v := range verdicts {
		byCause[v.Cause] = append(byCause[v.Cause], v.Tag)
	}
	for _, cause := range causes {
		if tags := byCause[cause]; len(tags) > 0 {
			groups = append(groups, group(Cause(cause), nil, c.causeText(cause), tags))
		}
	}
	return groups
}

// group makes a Rejection of tags in ascending order.
func group(cause Cause, item *int, reason string, tags []string) Rejection {
	last := slices.Clone(tags[max(0, len(tags)-examples):])
	slices.Reverse(last)
	return Rejection{Cause: cause, Item: item, Reason: reason, Count: len(tags), Examples: last}
}

// causes are selection's, in their order, but for CauseReferrer: such tags are excluded.
var causes = []selection.Cause{
	selection.CauseHeldBack, selection.CausePattern, selection.CauseNoVersion, selection.CauseNoNumber, selection.CausePrerelease,
	selection.CauseRange, selection.CauseNoTime,
}

// itemText names an item of the exclusion list.
func (c *Case) itemText(item int) string {
	text := fmt.Sprintf("spec.exclusionList[%d] %q", item, c.Repository.GetExclusionList()[item])
	if usesDefaultExclusions(c.Repository) {
		text += ", which is the default"
	}
	return text
}

// causeText says what the tags of a cause have in common.
func (c *Case) causeText(cause selection.Cause) string {
	policy := c.Policy.Spec
	switch cause {
	case selection.CauseReferrer:
		return "of a signature, attestation or referrers list of another image"
	case selection.CauseHeldBack:
		return "held back by spec.exclude"
	case selection.CausePattern:
		return fmt.Sprintf("not matched by filterTags.pattern %q", policy.FilterTags.Pattern)
	case selection.CauseNoVersion:
		return "not a version (MAJOR.MINOR.PATCH)"
	case selection.CauseNoNumber:
		return "not a number"
	case selection.CausePrerelease:
		return fmt.Sprintf("a prerelease, and the range %q takes none", policy.Policy.SemVer.Range)
	case selection.CauseRange:
		return fmt.Sprintf("outside the range %q", policy.Policy.SemVer.Range)
	case selection.CauseNoTime:
		return "listed, but the registry has no image for it"
	default:
		return string(cause)
	}
}

// rejected tells why a tag that is excluded is no candidate.
func (e exclusion) rejected(rule *selection.Rule) RejectedTag {
	if e.item == noItem {
		verdict := rule.Judge(e.tag)
		return RejectedTag{Tag: e.tag, Cause: Cause(verdict.Cause), Reason: verdict.Reason}
	}
	return RejectedTag{Tag: e.tag, Cause: CauseExcluded, Reason: fmt.Sprintf("is excluded by spec.exclusionList[%d]", e.item)}
}

// rejected lists the tags that are no candidates, in ascending byte order.
func rejected(rule *selection.Rule, verdicts []selection.Verdict, excluded []exclusion) []RejectedTag {
	all := make([]RejectedTag, 0, len(verdicts)+len(excluded))
	for _, v := range verdicts {
		all = append(all, RejectedTag{Tag: v.Tag, Cause: Cause(v.Cause), Reason: v.Reason})
	}
	for _, e := range excluded {
		all = append(all, e.rejected(rule))
	}
	slices.SortFunc(all, func(a, b RejectedTag) int { return cmp.Compare(a.Tag, b.Tag) })
	return all
}
