// SPDX-License-Identifier: Apache-2.0

package repository

import (
	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// NeedsConfirmation reports whether a policy would move down to a lower tag, or to none,
// only because the current one is missing from the list of tags: rule and
// exclusions still accept it. Registries sometimes answer with lists that lack
// tags, so the registry has to be asked for that tag. choice is what the rule selects
// of the listed tags, nil for none; current may be nil, too.
func NeedsConfirmation(
	rule *selection.Rule, repo *v1.ImageRepository, listed scan.Snapshot, choice *selection.Choice, current *v1.ImageRef,
) bool {
	if current == nil || current.Name != listed.Image || listed.Has(current.Tag) || !rule.Judge(current.Tag).Accepted() {
		return false
	}
	exclusions, err := scan.CompileExclusions(repo.GetExclusionList())
	if err != nil || exclusions.Exclude(current.Tag) {
		return false
	}
	return choice == nil || rule.Compare(current.Tag, choice.Tag) > 0
}
