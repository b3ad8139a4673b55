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
	// emptyType is how registries call a bundle that take the type of the config
	// for that of the artifact.
	emptyType = "application/vnd.oci.empty.v1+json"
	// annotationPredicate says what a bundle states.
	annotationPredicate = "dev.sigstore.bundle.predicateType"
	// signPredicate is the statement that an image is signed. Attestations state
	// other things, and not always in favour of the image.
	signPredicate = "https://sigstore.dev/cosign/sign/v1"
)

// checkReferrers looks at the signatures among the referrers of the image: bundles,
// and legacy signatures.
func (e *attempt) checkReferrers(ctx context.Context, j signatureVerifier) error {
	all, err := e.Referrers(ctx, e.digest)
	if err != nil {
		return err
	}
	for _, referrer := range all {
		switch {
		case e.signer != "":
			return nil
		case !mayBeSignature(referrer):
			continue
		case isAttestation(referrer):
			e.reject(errAttested.Error())
			continue
		}
		if !e.next() {
			return nil
		}
		if err := e.checkReferrer(ctx, j, referrer.Digest); err != nil {
			return err
		}
	}
	return nil
}

// mayBeSignature reports whether a referrer may be a signature, by its type. To
// leave one out that is, because someone says otherwise, lets no image pass.
func mayBeSignature(r registry.Referrer) bool {
	switch r.ArtifactType {
	case "", emptyType, legacyReferrerType:
		return true
	}
	return strings.HasPrefix(r.ArtifactType, bundleType)
}

// isAttestation reports whether a referrer says of itself that it states something
// else than that the image is signed.
func isAttestation(r registry.Referrer) bool {
	stated := r.Annotations[annotationPredicate]
	return stated != "" && stated != signPredicate
}

// checkReferrer looks at the manifest of one referrer, and the signatures in it:
// its layers say of which format they are.
func (e *attempt) checkReferrer(ctx context.Context, j signatureVerifier, digest string) error {
	a, err := e.referrer(ctx, digest)
	if err != nil || a == nil {
		return err
	}
	if signed := a.layersWhere(isPayload); len(signed) > 0 {
		return e.checkLayers(ctx, j, signed)
	}
	layer := e.onlyLayer(a, func(layer descriptor) bool { return strings.HasPrefix(layer.MediaType, bundleType) })
	if layer == nil {
		return nil
	}
	raw, err := e.fetch(ctx, *layer)
	if err != nil || raw == nil {
		return err
	}
	e.recover(verifyBundle(j, raw, e.hash()))
	return nil
}

// verifyBundle reads and judges a bundle, which must hold a statement about an image.
// A bare signature, as of a file, says nothing of what was meant by it; and Ed25519
// keys can't verify one by a digest.
func verifyBundle(j signatureVerifier, raw, digest []byte) (string, error) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil {
		return "", rejection("its bundle is malformed, or of an unknown version")
	}
	if b.GetDsseEnvelope() == nil {
		return "", rejection("its bundle holds no statement: use cosign sign")
	}
	return j.bundle(&b, digest)
}

// referrer fetches the manifest of a referrer, which must refer to the image. It
// returns nil where the referrer is rejected.
func (e *attempt) referrer(ctx context.Context, digest string) (*artifact, error) {
	if !image.IsDigest(digest) {
		e.reject("its list of signatures names a digest that is malformed")
		return nil, nil
	}
	manifest, err := e.Manifest(ctx, digest)
	if err != nil {
		return nil, e.recordMissing(err)
	}
	var a artifact
	if json.Unmarshal(manifest.Bytes, &a) != nil {
		e.reject("the manifest of its signature is malformed")
		return nil, nil //nolint:nilerr // it is refused
	}
	if a.Subject == nil || a.Subject.Digest != e.digest {
		e.reject(errImageMismatch.Error())
		return nil, nil
	}
	return &a, nil
}

// onlyLayer returns the one layer of a referrer that is wanted, nil where the
// referrer is rejected.
func (e *attempt) onlyLayer(a *artifact, wanted func(descriptor) bool) *descriptor {
	layers := a.layersWhere(wanted)
	if len(layers) != 1 {
		e.reject("what refers to it is no signature")
		return nil
	}
	return &layers[0]
}

// ifSigned returns who signed a bundle that was verified, which must state that
// the image is signed.
func ifSigned(signer string, result *verify.VerificationResult) (string, error) {
	if result.Statement.GetPredicateType() != signPredicate {
		return "", errAttested
	}
	return signer, nil
}

// errAttested is about statements other than that an image is signed.
const errAttested = rejection("it is attested, not signed: use cosign sign")

// errImageMismatch is about signatures that are not this image's.
const errImageMismatch = rejection("the signature is that of another image")

// isImageMismatch reports whether a bundle failed, after its signature was verified,
// because it is about something else. The library has no type for that. It
// decides about the words of a reason only.
func isImageMismatch(err error) bool {
	return strings.Contains(err.Error(), "match digests in statement") ||
		strings.Contains(err.Error(), "match any digest in statement")
}
