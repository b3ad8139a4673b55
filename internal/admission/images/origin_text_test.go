// SPDX-License-Identifier: Apache-2.0

package images

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// TestOriginOf_BoundsAndCleansText checks texts that anyone who pushes an image controls.
func TestOriginOf_BoundsAndCleansText(t *testing.T) {
	const commit, url = "4f6b2c0d1e3f5a7b9c8d0e1f2a3b4c5d6e7f8091", "https://github.com/org/app"
	for _, tt := range []struct {
		reason, revision, source string
		want                     [2]string
	}{
		{"nothing is stated", "", "", [2]string{}},
		{"both are stated", commit, url, [2]string{commit, url}},
		{"only a revision", commit, "", [2]string{commit, ""}},
		{"space around", " " + commit + "\n", url, [2]string{commit, url}},
		{"escape sequences, marks of the text direction and invalid UTF-8", "\x1b[2J4f\u202e6b\xff", url, [2]string{"[2J4f6b", url}},
		{"too long", strings.Repeat("a", 129), "https://" + strings.Repeat("a", 250), [2]string{}},
		{"much too long", strings.Repeat("\x00", 1<<20), url, [2]string{"", url}},
		{"the longest", strings.Repeat("a", 128), "https://" + strings.Repeat("a", 248), [2]string{strings.Repeat("a", 128), "https://" + strings.Repeat("a", 248)}},
		{"a user and a password", commit, "https://robot:hunter2@git.example.com/app", [2]string{commit, "https://git.example.com/app"}},
		{"a password in an invalid URL", commit, "https://robot:hunter%2@git.example.com/app", [2]string{commit, ""}},
		{"the form of scp", commit, "git@github.com:org/app.git", [2]string{commit, "git@github.com:org/app.git"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			got := originOf(map[string]string{revisionKey: tt.revision, sourceKey: tt.source})
			NewWithT(t).Expect([2]string{got.Revision, got.Source}).To(Equal(tt.want))
		})
	}
}
