// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// TestScan_LeavesReferrersOut stands for repositories that are flooded with the tags of
// signatures: they are not stored, counted, shown or part of the revision.
func TestScan_LeavesReferrersOut(t *testing.T) {
	digest := "sha256-" + strings.Repeat("0a", 32)
	for _, list := range [][]string{nil, {"^rc"}} {
		g := NewWithT(t)
		w := newWorld(t)
		w.repo.Spec.ExclusionList = list
		w.tags = []string{"1.0.0", "sha256-abc"}
		_, err := w.scan()
		g.Expect(err).NotTo(HaveOccurred())
		before := w.repo.Status.LastScanResult.Revision

		w.tags = append(w.tags, digest, digest+".att", digest+".sig", "sha512-"+digest[7:])
		w.repo.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
		result, err := w.scan()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(result.Message).To(Equal("successful scan: found 2 tags with checksum " + before))
		g.Expect(w.repo.Status.LastScanResult.TagCount).To(Equal(2))
		g.Expect(w.repo.Status.LastScanResult.LatestTags).To(Equal([]string{"sha256-abc", "1.0.0"}))
		snapshot, err := w.store.Get(context.Background(), storeKey(w.repo))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(snapshot.Tags).To(Equal([]string{"1.0.0", "sha256-abc"}))
	}
}

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
