// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// TestPolicy_LeavesReferrersOfStoredTags stands for what was stored and selected before tags of
// referrers were left out: an attestation makes way for an image, or for nothing.
func TestPolicy_LeavesReferrersOfStoredTags(t *testing.T) {
	attestation := "sha256-" + strings.Repeat("0a", 32) + ".att"
	for want, tags := range map[string][]string{"7e12345": {"7e12345", attestation}, "": {attestation}} {
		g := NewWithT(t)
		w := newWorld(t)
		w.policy.Spec.Policy = v1.ImagePolicyChoice{Alphabetical: &v1.AlphabeticalPolicy{}}
		w.policy.Spec.DigestReflectionPolicy = v1.ReflectNever
		w.policy.Status.LatestRef = image.NewRef(w.repo.Spec.Image, attestation, "")
		w.scanned(g, tags...)
		err := w.settle()
		if want == "" {
			g.Expect(err).To(MatchError(ContainSubstring("is the tag of a signature, attestation or referrers list of another image")))
			continue
		}
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(w.policy.Status.LatestRef.Tag).To(Equal(want))
		g.Expect(w.asked()).To(BeEmpty(), "whether the attestation is still there, does not matter")
	}
}
