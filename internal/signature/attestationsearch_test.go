// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// misstated is a repository whose manifests state another size of one blob.
type misstated struct {
	Repository
	size, stated int
}

// Manifest implements Repository.
func (r misstated) Manifest(ctx context.Context, reference string) (registry.Manifest, error) {
	m, err := r.Repository.Manifest(ctx, reference)
	m.Bytes = bytes.ReplaceAll(m.Bytes, fmt.Appendf(nil, `"size":%d`, r.size), fmt.Appendf(nil, `"size":%d`, r.stated))
	return m, err
}

// TestAttestations_BoundLargeOnes tests that a large attestation waits while another one is
// checked, by its size and not by the one that the manifest states, and after its request.
func TestAttestations_BoundLargeOnes(t *testing.T) {
	key := signaturetest.NewKey(t, "ecdsa")
	NewWithT(t).Expect(large.Acquire(t.Context(), 1)).To(Succeed())
	t.Cleanup(func() { large.Release(1) })
	for name, tc := range map[string]struct {
		padding, stated int
		waits           bool
	}{
		"Small":          {padding: 1, stated: 1},
		"SmallButStated": {padding: 1, stated: maxAttestation},
		"Large":          {padding: maxBlob, stated: 2 * maxBlob, waits: true},
		"LargeNotStated": {padding: maxBlob, stated: 1, waits: true},
	} {
		t.Run(name, func(t *testing.T) {
			g, f := NewWithT(t), newFixture(t, registrytest.WithReferrers())
			bundle := key.Bundle(t, attestationOf(t, f.app, sbom, map[string]any{"padding": strings.Repeat("x", tc.padding)}))
			f.pushAttestation(t, bundle, sbom)
			v := f.verifier(t, attested(keys(t, map[string]signaturetest.Key{"a.pub": key}), [2]string{sbom, ""}))
			f.reg.Reset()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			verdict, err := v.Verify(ctx, misstated{f.open(t), len(bundle), tc.stated}, f.img, f.app.Digest, time.Now())
			g.Expect(f.reg.Count(registrytest.Blob)).To(Equal(1), "requests of blobs")
			if tc.waits {
				g.Expect(err).To(MatchError(context.DeadlineExceeded))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(verdict.Passed()).To(BeTrue(), verdict.Reason())
		})
	}
}

// TestAttestations_AreSearchedWhereTheLastWere tests an image whose signatures are at a tag and
// whose attestations are referrers: after the first verification, both are found at once.
func TestAttestations_AreSearchedWhereTheLastWere(t *testing.T) {
	key, f := signaturetest.NewKey(t, "ecdsa"), newFixture(t, registrytest.WithReferrers())
	f.pushSignatures(t, key.Sign(t, signaturetest.Payload(f.app.Digest)))
	f.pushAttestation(t, key.Bundle(t, attestationOf(t, f.app, sbom, nil)), sbom)
	v := f.verifier(t, attested(keys(t, map[string]signaturetest.Key{"a.pub": key}), [2]string{signPredicate, ""}, [2]string{sbom, ""}))
	for range 3 {
		f.reg.Reset()
		NewWithT(t).Expect(f.verify(t, v)).To(HaveField("Passed()", BeTrue()))
	}
	NewWithT(t).Expect(f.reg.Count(registrytest.ManifestGet)).To(Equal(2), "requests of manifests: of the signature and the attestation")
}
