// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// noteHeldBack notes the candidates that spec.exclude seems to mean and does not
// name: it takes whole tags, so "1.2.0" holds "v1.2.0" not back.
func (c *Case) noteHeldBack(r *Result, ranked []selection.Choice) {
	candidates := map[string][]string{}
	for _, choice := range ranked {
		candidates[bare(choice.Tag)] = append(candidates[bare(choice.Tag)], choice.Tag)
	}
	for _, item := range c.Policy.Spec.Exclude {
		for _, tag := range candidates[bare(item)] {
			r.Note(NoteNotHeldBack, "spec.exclude names %s, and not the candidate %s: it takes whole tags", item, tag)
		}
	}
}

// bare is a tag without what is often forgotten, or too much: the case of its
// letters, and a leading v.
func bare(tag string) string { return strings.TrimPrefix(strings.ToLower(tag), "v") }
