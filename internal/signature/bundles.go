// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

const (
	bundleType = "application/vnd.dev.sigstore.bundle"
	// emptyType is the artifact type of a bundle in registries that use the media type
	// of the config as the artifact type.
	emptyType = "application/vnd.oci.empty.v1+json"
	// annotationPredicate holds the predicate type of a bundle's statement.
	annotationPredicate = "dev.sigstore.bundle.predicateType"
	// signPredicate states that an image is signed. Attestations have other predicates,
	// which may be unfavorable to the image.
	signPredicate = "https://sigstore.dev/cosign/sign/v1"
)

// checkReferrers checks the signatures among the referrers of the image: bundles and
// legacy signatures.
func (a *attempt) checkReferrers(ctx context.Context, v signatureVerifier) error {
	all, err := a.Referrers(ctx, a.digest)
	if err != nil {
		return err
	}
	for _, referrer := range all {
		switch {
		case a.signer != "":
			return nil
		case !mayBeSignature(referrer):
			continue
		case isAttestation(referrer):
			a.reject(errAttested.Error())
			continue
		}
		if !a.next() {
			return nil
		}
		if err := a.checkReferrer(ctx, v, referrer.Digest); err != nil {
			return err
		}
	}
	return nil
}

// mayBeSignature reports whether a referrer may be a signature according to its type in
// the registry's list. The type is not verified, but a wrong one can't let an image pass.
func mayBeSignature(r registry.Referrer) bool {
	switch r.ArtifactType {
	case "", emptyType, legacyReferrerType:
		return true
	}
	return strings.HasPrefix(r.ArtifactType, bundleType)
}

// isAttestation reports whether the annotations of a referrer have another predicate
// than the one of signatures.
func isAttestation(r registry.Referrer) bool {
	predicate := r.Annotations[annotationPredicate]
	return predicate != "" && predicate != signPredicate
}

// checkReferrer checks the signatures in the manifest of a referrer. The media types of
// its layers determine their format.
func (a *attempt) checkReferrer(ctx context.Context, v signatureVerifier, digest string) error {
	m, err := a.referrer(ctx, digest)
	if err != nil || m == nil {
		return err
	}
	if payloads := m.layersWhere(isPayload); len(payloads) > 0 {
		return a.checkLayers(ctx, v, payloads)
	}
	layer := a.onlyLayer(m, func(layer descriptor) bool { return strings.HasPrefix(layer.MediaType, bundleType) })
	if layer == nil {
		return nil
	}
	raw, err := a.fetch(ctx, *layer, maxBlob)
	if err != nil || raw == nil {
		return err
	}
	a.record(verifyBundle(v, raw, a.hash()))
	return nil
}

// verifyBundle parses and verifies a bundle, whose statement must be that the image is
// signed.
func verifyBundle(v signatureVerifier, raw, digest []byte) (string, error) {
	b, err := parseBundle(raw, "sign")
	if err != nil {
		return "", err
	}
	signer, result, err := v.bundle(b, digest)
	if err != nil {
		return "", err
	}
	return checkPredicate(signer, result)
}

// parseBundle parses a bundle, which must contain a statement about an image. A bare
// signature, as of a file, does not express its purpose, and Ed25519 can't verify one by a
// digest. command is the one of cosign that makes such bundles.
func parseBundle(raw []byte, command string) (*bundle.Bundle, error) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, rejection("its bundle is malformed, or of an unknown version")
	}
	if b.GetDsseEnvelope() == nil {
		return nil, rejection("its bundle holds no statement: use cosign " + command)
	}
	return &b, nil
}

// referrer fetches the manifest of a referrer, whose subject must be the image. It
// returns nil if the referrer is rejected.
func (a *attempt) referrer(ctx context.Context, digest string) (*signatureManifest, error) {
	if !image.IsDigest(digest) {
		a.reject("its list of " + a.noun + "s names a digest that is malformed")
		return nil, nil
	}
	manifest, err := a.Manifest(ctx, digest)
	if err != nil {
		return nil, a.recordMissing(err)
	}
	var m signatureManifest
	if json.Unmarshal(manifest.Bytes, &m) != nil {
		a.reject("the manifest of its " + a.noun + " is malformed")
		return nil, nil //nolint:nilerr // it is rejected
	}
	if m.Subject == nil || m.Subject.Digest != a.digest {
		a.reject("the " + a.noun + " is that of another image")
		return nil, nil
	}
	return &m, nil
}

// onlyLayer returns the layer that matches a predicate. It rejects the referrer, and
// returns nil, unless there is exactly one.
func (a *attempt) onlyLayer(m *signatureManifest, matches func(descriptor) bool) *descriptor {
	layers := m.layersWhere(matches)
	if len(layers) != 1 {
		a.reject("its referrer has no " + a.noun + ", or more than one")
		return nil
	}
	return &layers[0]
}

// checkPredicate returns the signer of a verified bundle if its statement is that the
// image is signed.
func checkPredicate(signer string, result *verify.VerificationResult) (string, error) {
	if result.Statement.GetPredicateType() != signPredicate {
		return "", errAttested
	}
	return signer, nil
}

// errAttested rejects statements with another predicate than the one of signatures.
const errAttested = rejection("it is attested, not signed: use cosign sign")

// errImageMismatch rejects signatures of another image.
const errImageMismatch = rejection("the signature is that of another image")

// isImageMismatch reports whether a bundle with a valid signature failed because it is
// about another image. sigstore-go has no error type for that. The result affects only
// the text of the reason.
func isImageMismatch(err error) bool {
	return strings.Contains(err.Error(), "match digests in statement") ||
		strings.Contains(err.Error(), "match any digest in statement")
}
