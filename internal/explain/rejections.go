// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// examples is how many tags stand for those that were rejected for one reason.
const examples = 3

// reject returns the tags that are no candidates, with the reasons, and counts them.
func (c *Case) reject(tags []string, counts *Tags) []RejectedTag {
	var all []RejectedTag
	for _, tag := range tags {
		switch rejected := c.rejection(tag); {
		case rejected.Cause == "":
			continue
		case c.isUnranked(tag, rejected.Cause):
			counts.Unranked++
			continue
		case rejected.isExcluded():
			counts.Excluded++
			all = append(all, rejected)
		default:
			counts.Rejected++
			all = append(all, rejected)
		}
	}
	return all
}

// rejection returns why a tag is no candidate. That of a candidate has no cause.
func (c *Case) rejection(tag string) RejectedTag {
	verdict := c.rule.Judge(tag)
	if item, matches := c.exclusions.Match(tag); matches && verdict.Cause != selection.CauseReferrer {
		return RejectedTag{Tag: tag, Cause: CauseExcluded, Reason: fmt.Sprintf("is excluded by spec.exclusionList[%d]", item), Item: item}
	}
	return RejectedTag{Tag: tag, Cause: verdict.Cause, Reason: verdict.Reason}
}

// isExcluded reports whether a scan leaves the tag out.
func (r RejectedTag) isExcluded() bool {
	return r.Cause == CauseExcluded || r.Cause == selection.CauseReferrer
}

// shared is what the tags of a Rejection have in common.
type shared struct {
	cause Cause
	item  int
}

// rejections counts the tags that are no candidates by their reasons: those
// excluded first, then in the order in which a rule asks.
func (c *Case) rejections(rejected []RejectedTag) []Rejection {
	byReason := map[shared][]string{}
	for _, r := range rejected {
		key := shared{r.Cause, r.Item}
		byReason[key] = append(byReason[key], r.Tag)
	}
	groups := make([]Rejection, 0, len(byReason))
	for _, key := range slices.SortedFunc(maps.Keys(byReason), compareShared) {
		tags := byReason[key]
		last := slices.Clone(tags[max(0, len(tags)-examples):])
		slices.Reverse(last)
		group := Rejection{Cause: key.cause, Reason: c.causeText(key), Count: len(tags), Examples: last}
		if key.cause == CauseExcluded {
			group.Item = new(key.item)
		}
		groups = append(groups, group)
	}
	return groups
}

func compareShared(a, b shared) int {
	return cmp.Or(cmp.Compare(slices.Index(causes, a.cause), slices.Index(causes, b.cause)), cmp.Compare(a.item, b.item))
}

// causes are all of them, in the order in which their tags are counted.
var causes = []Cause{
	selection.CauseReferrer, CauseExcluded, selection.CauseHeldBack, selection.CausePattern, selection.CauseNoVersion,
	selection.CauseNoNumber, selection.CausePrerelease, selection.CauseRange, selection.CauseNoTime,
}

// itemText names an item of the exclusion list.
func (c *Case) itemText(item int) string {
	text := fmt.Sprintf("spec.exclusionList[%d] %q", item, c.Repository.GetExclusionList()[item])
	if slices.Equal(c.Repository.GetExclusionList(), []string{v1.DefaultExclusion}) { // the API server writes it into the spec
		text += ", which is the default"
	}
	return text
}

// causeText says what the tags of a cause have in common.
func (c *Case) causeText(of shared) string {
	policy := c.Policy.Spec
	switch of.cause {
	case CauseExcluded:
		return "excluded by " + c.itemText(of.item)
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
		return string(of.cause)
	}
}
