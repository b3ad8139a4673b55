// SPDX-License-Identifier: Apache-2.0

package repository

import (
	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/scan"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// NeedsConfirmation reports whether the policy would select a lower tag, or none, only because the
// current tag is missing from the list, although rule and exclusions accept it. Some registries
// return incomplete lists, so the registry must confirm that the tag was deleted. choice is the
// selected one of the listed tags, nil for none. current may be nil.
func NeedsConfirmation(
	rule *selection.Rule, repo *v1.ImageRepository, listed scan.Snapshot, choice *selection.Choice, current *v1.ImageRef,
) bool {
	if current == nil || current.Name != listed.Image || listed.Has(current.Tag) || !rule.Evaluate(current.Tag).Accepted() {
		return false
	}
	exclusions, err := scan.CompileExclusions(repo.GetExclusionList())
	if err != nil || exclusions.Excludes(current.Tag) {
		return false
	}
	return choice == nil || rule.Compare(current.Tag, choice.Tag) > 0
}
