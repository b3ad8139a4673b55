// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
)

func TestExplain_NotesNearMissesOfExclude(t *testing.T) {
	cases := map[string]struct {
		exclude []string
		want    string
	}{
		"v is missing":         {exclude: []string{"1.2.0"}, want: "spec.exclude names 1.2.0, and not the candidate v1.2.0: it takes whole tags"},
		"v is superfluous":     {exclude: []string{"v1.1.0"}, want: "spec.exclude names v1.1.0, and not the candidate 1.1.0: it takes whole tags"},
		"case differs":         {exclude: []string{"1.0.0-rc"}, want: "spec.exclude names 1.0.0-rc, and not the candidate 1.0.0-RC: it takes whole tags"},
		"held back":            {exclude: []string{"v1.2.0", "1.1.0"}},
		"no such tag":          {exclude: []string{"1.3.0"}},
		"rejected by the rule": {exclude: []string{"2.0.0"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCase(t, "v1.2.0")
			c.Policy.Spec.Policy.SemVer.Range, c.Policy.Spec.Exclude = ">=1.0.0-0 <2.0.0", tc.exclude
			r := explainAndCompare(t, c, explain.Options{}, explain.Listing{Tags: []string{"1.0.0-RC", "1.1.0", "v1.2.0", "v2.0.0"}})
			got := ""
			for _, note := range r.Notes {
				if note.Reason == explain.NoteNotHeldBack {
					got += note.Message
				}
			}
			NewWithT(t).Expect(got).To(Equal(tc.want), "note")
		})
	}
}
