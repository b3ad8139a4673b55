// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"golang.org/x/sync/semaphore"

	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// The media types and annotations of attestations, besides those of signatures.
const (
	envelopeType = "application/vnd.dsse.envelope.v1+json"
	// statementType is the artifact type of legacy attestations that refer to the image
	// (github.com/sigstore/cosign/v3/pkg/oci/remote, WriteAttestationsReferrer).
	statementType = "application/vnd.in-toto+json"
	// annotationLegacyPredicate holds the predicate type of a layer at an attestation tag.
	annotationLegacyPredicate = "predicateType"
	annotationCreated         = "org.opencontainers.image.created"
)

// checkReferrers checks the attestations among the referrers of the image, the newest first.
func (c *attestationCheck) checkReferrers(ctx context.Context) error {
	all, err := c.Referrers(ctx, c.digest)
	if err != nil {
		return err
	}
	for _, referrer := range newestFirst(all) {
		if c.done() {
			return nil
		}
		if !mayBeAttestation(referrer) {
			continue
		}
		if annotated := referrer.Annotations[annotationPredicate]; !c.mayBeNeeded(annotated) {
			c.recordType(annotated)
			continue
		}
		if !c.next() {
			return nil
		}
		if err := c.checkReferrer(ctx, referrer.Digest); err != nil {
			return err
		}
	}
	return nil
}

// newestFirst returns referrers in the order in which they are checked. Tools append to the
// list, and annotate most referrers with their time of creation. Those that are annotated
// as signatures come last.
func newestFirst(referrers []registry.Referrer) []registry.Referrer {
	sorted := slices.Clone(referrers)
	slices.Reverse(sorted)
	slices.SortStableFunc(sorted, func(a, b registry.Referrer) int {
		signedA, signedB := a.Annotations[annotationPredicate] == signPredicate, b.Annotations[annotationPredicate] == signPredicate
		switch {
		case signedA && !signedB:
			return 1
		case signedB && !signedA:
			return -1
		}
		return strings.Compare(b.Annotations[annotationCreated], a.Annotations[annotationCreated])
	})
	return sorted
}

// mayBeAttestation reports whether a referrer may be an attestation according to its type.
func mayBeAttestation(r registry.Referrer) bool {
	return r.ArtifactType == statementType || r.ArtifactType != legacyReferrerType && mayBeSignature(r)
}

// mayBeNeeded reports whether an attestation may meet a requirement that is not met,
// according to its annotated predicate type, which is "" if it has none. cosign 2.6 annotates
// attestations as signatures if it uses a signing config
// (github.com/sigstore/cosign/v2/cmd/cosign/cli/attest).
func (c *attestationCheck) mayBeNeeded(annotated string) bool {
	return annotated == "" || annotated == signPredicate || c.isNeeded(annotated)
}

// checkReferrer checks the attestations in the manifest of a referrer.
func (c *attestationCheck) checkReferrer(ctx context.Context, digest string) error {
	m, err := c.referrer(ctx, digest)
	if err != nil || m == nil {
		return err
	}
	if annotated := m.Annotations[annotationPredicate]; !c.mayBeNeeded(annotated) {
		c.recordType(annotated)
		return nil
	}
	if envelopes := m.layersWhere(isLegacyAttestation); len(envelopes) > 0 {
		return c.checkEnvelopes(ctx, envelopes)
	}
	layer := c.onlyLayer(m, func(layer descriptor) bool { return strings.HasPrefix(layer.MediaType, bundleType) })
	if layer == nil {
		return nil
	}
	return c.checkBlob(ctx, *layer, func(raw []byte) (*bundle.Bundle, error) { return parseBundle(raw, "attest") })
}

// isLegacyAttestation reports whether a layer is a legacy attestation.
func isLegacyAttestation(layer descriptor) bool { return layer.MediaType == envelopeType }

// checkTag checks the attestations at cosign's attestation tag of the image.
func (c *attestationCheck) checkTag(ctx context.Context) error {
	m, err := c.manifestAtTag(ctx, ".att")
	if err != nil || m == nil {
		return err
	}
	if !c.next() {
		return nil
	}
	return c.checkEnvelopes(ctx, m.layersWhere(isLegacyAttestation))
}

// checkEnvelopes checks the legacy attestations of one manifest, to which tools append, the
// newest first. The caller has counted the first one.
func (c *attestationCheck) checkEnvelopes(ctx context.Context, layers []descriptor) error {
	counted := true
	for _, layer := range slices.Backward(layers) {
		if c.done() {
			return nil
		}
		if annotated := layer.Annotations[annotationLegacyPredicate]; !c.mayBeNeeded(annotated) {
			c.recordType(annotated)
			continue
		}
		if !counted && !c.next() {
			return nil
		}
		counted = false
		if err := c.checkBlob(ctx, layer, annotationsOf(layer).attestation); err != nil {
			return err
		}
	}
	return nil
}

// maxValues bounds the JSON values of a statement, and of a bundle. Each takes about 100 bytes
// when it is parsed, though it may be written in 2.
const maxValues = 200_000

// countValues returns the number of values of a JSON text, or more, without parsing it.
func countValues(text []byte) int {
	count, quoted := 1, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case ',', '[', '{':
			if !quoted {
				count++
			}
		}
	}
	return count
}

// large bounds the large attestations that are checked at the same time in the process.
var large = semaphore.NewWeighted(1)

// checkBlob fetches an attestation and checks it.
func (c *attestationCheck) checkBlob(ctx context.Context, layer descriptor, parse func([]byte) (*bundle.Bundle, error)) error {
	raw, err := c.fetch(ctx, layer, maxAttestation)
	if err != nil || raw == nil {
		return err
	}
	if len(raw) > maxBlob {
		if err := large.Acquire(ctx, 1); err != nil {
			return err
		}
		defer large.Release(1)
	}
	if countValues(raw) > maxValues {
		c.reject(fmt.Sprintf("its attestation has more than the %d JSON values that are read", maxValues))
		return nil
	}
	b, err := parse(raw)
	if err != nil {
		c.reject(err.Error())
		return nil
	}
	return c.check(ctx, b)
}
