// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// noteHeldBack notes the candidates that an item of spec.exclude almost names: items are compared
// with whole tags, so "1.2.0" does not exclude "v1.2.0".
func (c *Case) noteHeldBack(r *Result, ranked []selection.Choice) {
	candidates := map[string][]string{}
	for _, choice := range ranked {
		candidates[normalize(choice.Tag)] = append(candidates[normalize(choice.Tag)], choice.Tag)
	}
	for _, item := range c.Policy.Spec.Exclude {
		for _, tag := range candidates[normalize(item)] {
			r.Note(NoteNotHeldBack, "spec.exclude names %s, and not the candidate %s: it takes whole tags", item, tag)
		}
	}
}

// normalize removes the differences that are often mistakes: upper case and a leading v.
func normalize(tag string) string { return strings.TrimPrefix(strings.ToLower(tag), "v") }
