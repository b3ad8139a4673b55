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

// maxExamples is the maximum number of Rejection.Examples.
const maxExamples = 3

// reject returns the tags that are not candidates, with the reasons, and counts them.
func (c *Case) reject(tags []string, counts *Tags) []RejectedTag {
	var rejected []RejectedTag
	for _, tag := range tags {
		switch r := c.rejection(tag); {
		case r.Cause == "":
			continue
		case c.isUnranked(tag, r.Cause):
			counts.Unranked++
			continue
		case r.isExcluded():
			counts.Excluded++
			rejected = append(rejected, r)
		default:
			counts.Rejected++
			rejected = append(rejected, r)
		}
	}
	return rejected
}

// rejection returns why a tag is not a candidate; the cause of a candidate is empty.
func (c *Case) rejection(tag string) RejectedTag {
	verdict := c.rule.Evaluate(tag)
	if item, matches := c.exclusions.Match(tag); matches && verdict.Cause != selection.CauseReferrer {
		return RejectedTag{Tag: tag, Cause: CauseExcluded, Reason: fmt.Sprintf("is excluded by spec.exclusionList[%d]", item), Item: item}
	}
	return RejectedTag{Tag: tag, Cause: verdict.Cause, Reason: verdict.Reason}
}

// isExcluded reports whether scans omit the tag.
func (r RejectedTag) isExcluded() bool {
	return r.Cause == CauseExcluded || r.Cause == selection.CauseReferrer
}

// rejectionKey identifies a Rejection.
type rejectionKey struct {
	cause Cause
	item  int
}

// rejections groups the tags that are not candidates by reason, in the order of causes.
func (c *Case) rejections(rejected []RejectedTag) []Rejection {
	byReason := map[rejectionKey][]string{}
	for _, r := range rejected {
		key := rejectionKey{r.Cause, r.Item}
		byReason[key] = append(byReason[key], r.Tag)
	}
	groups := make([]Rejection, 0, len(byReason))
	for _, key := range slices.SortedFunc(maps.Keys(byReason), compareRejectionKeys) {
		tags := byReason[key]
		last := slices.Clone(tags[max(0, len(tags)-maxExamples):])
		slices.Reverse(last)
		group := Rejection{Cause: key.cause, Reason: c.causeText(key), Count: len(tags), Examples: last}
		if key.cause == CauseExcluded {
			group.Item = new(key.item)
		}
		groups = append(groups, group)
	}
	return groups
}

func compareRejectionKeys(a, b rejectionKey) int {
	return cmp.Or(cmp.Compare(slices.Index(causes, a.cause), slices.Index(causes, b.cause)), cmp.Compare(a.item, b.item))
}

// causes are all causes: first those of excluded tags, then in the order in which a rule checks
// them.
var causes = []Cause{
	selection.CauseReferrer, CauseExcluded, selection.CauseExcluded, selection.CausePattern, selection.CauseNoVersion,
	selection.CauseNoNumber, selection.CausePrerelease, selection.CauseRange, selection.CauseNoTime,
}

// itemText describes an item of the exclusion list.
func (c *Case) itemText(item int) string {
	text := fmt.Sprintf("spec.exclusionList[%d] %q", item, c.Repository.GetExclusionList()[item])
	if slices.Equal(c.Repository.GetExclusionList(), []string{v1.DefaultExclusion}) { // the API server writes it into the spec
		text += ", which is the default"
	}
	return text
}

// causeText describes the reason that the tags of a Rejection share.
func (c *Case) causeText(key rejectionKey) string {
	policy := c.Policy.Spec
	switch key.cause {
	case CauseExcluded:
		return "excluded by " + c.itemText(key.item)
	case selection.CauseReferrer:
		return "of a signature, attestation or referrers list of another image"
	case selection.CauseExcluded:
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
		return string(key.cause)
	}
}
