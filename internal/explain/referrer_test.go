// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/explain"
)

// TestExplain_TellsReferrersFromImages stands for tags that are missing without a reason: of a
// signature that an item of the list matches, too, of an attestation, and of one not listed.
func TestExplain_TellsReferrersFromImages(t *testing.T) {
	digest := "sha256-" + strings.Repeat("0a", 32)
	const reason = "is the tag of a signature, attestation or referrers list of another image, not an image: it is never selected"
	tags := []string{"1.2.0", digest, digest + ".att", digest + ".sig", "a.sig", "sha256-abc"}
	for tag, want := range map[string]explain.Story{
		digest:           {Verdict: explain.Excluded, Cause: "Referrer", Reason: reason},
		digest + ".sig":  {Verdict: explain.Excluded, Cause: "Referrer", Reason: reason},
		digest + ".sbom": {Verdict: explain.NotListed, Cause: "Referrer", Reason: "is not in the registry; it " + reason},
		"sha256-abc":     {Verdict: explain.Rejected, Cause: "NoVersion", Reason: "is not a version: it does not start with a number (MAJOR.MINOR.PATCH is needed)"},
	} {
		g := NewWithT(t)
		r := explained(t, newCase(t, "1.2.0"), explain.Options{Tag: tag, All: true}, explain.Listing{Tags: tags})
		want.Tag = tag
		g.Expect(*r.Tag).To(Equal(want))
		g.Expect(r.Tags).To(And(HaveField("Listed", 6), HaveField("Excluded", 4), HaveField("Candidates", 1), HaveField("Rejected", 1)))
		g.Expect(r.Rejections[0]).To(Equal(explain.Rejection{
			Cause: "Referrer", Reason: "of a signature, attestation or referrers list of another image", Count: 3,
			Examples: []string{digest + ".sig", digest + ".att", digest},
		}))
		g.Expect(r.Rejected).To(ContainElement(explain.RejectedTag{Tag: digest, Cause: "Referrer", Reason: reason}))
	}
}
