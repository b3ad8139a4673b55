// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature/payload"

	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// The media types and annotations of cosign's legacy signatures.
const (
	simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	// legacyReferrerType is the artifact type of legacy signatures that refer to the
	// image, which cosign sign pushes with --registry-referrers-mode=oci-1-1
	// (https://github.com/sigstore/cosign/pull/2684).
	legacyReferrerType    = "application/vnd.dev.cosign.artifact.sig.v1+json"
	annotationSignature   = "dev.cosignproject.cosign/signature"
	annotationBundle      = "dev.sigstore.cosign/bundle"
	annotationCertificate = "dev.sigstore.cosign/certificate"
	annotationTimestamp   = "dev.sigstore.cosign/rfc3161timestamp"
)

// legacySignature is a layer of the manifest at a signature tag.
type legacySignature struct {
	signature   []byte
	certificate string // PEM, "" for none
	log         string // JSON of the entry in a transparency log, "" for none
	timestamp   string // JSON of the response of a timestamp authority, "" for none
}

// checkLegacy checks the signatures at cosign's signature tag of the image.
func (a *attempt) checkLegacy(ctx context.Context, v signatureVerifier) error {
	m, err := a.manifestAtTag(ctx, ".sig")
	if err != nil || m == nil {
		return err
	}
	layers := m.layersWhere(isPayload)
	if len(layers) == 0 {
		a.reject("the manifest at its signature tag is no signature of cosign")
		return nil
	}
	if a.signer != "" || !a.next() {
		return nil
	}
	return a.checkLayers(ctx, v, layers)
}

// manifestAtTag fetches the manifest at the tag of cosign with a suffix. It returns nil if there
// is none, or if it is rejected.
func (a *attempt) manifestAtTag(ctx context.Context, suffix string) (*signatureManifest, error) {
	manifest, err := a.Manifest(ctx, strings.Replace(a.digest, ":", "-", 1)+suffix)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m signatureManifest
	if json.Unmarshal(manifest.Bytes, &m) != nil {
		a.reject("the manifest at its " + a.noun + " tag is malformed")
		return nil, nil //nolint:nilerr // it is rejected
	}
	return &m, nil
}

// checkLayers checks the legacy signatures of one manifest. The caller has counted the
// first one.
func (a *attempt) checkLayers(ctx context.Context, v signatureVerifier, layers []descriptor) error {
	payloads := map[string][]byte{} // by digest: signatures by several keys share a payload
	for i, layer := range layers {
		if a.signer != "" || i > 0 && !a.next() {
			return nil
		}
		if err := a.checkLayer(ctx, v, layer, payloads); err != nil {
			return err
		}
	}
	return nil
}

// checkLayer checks one signature. payloads caches the fetched payloads.
func (a *attempt) checkLayer(ctx context.Context, v signatureVerifier, layer descriptor, payloads map[string][]byte) error {
	sig, err := parseLegacyLayer(layer)
	if err != nil {
		a.reject(err.Error())
		return nil
	}
	signed, cached := payloads[layer.Digest]
	if !cached {
		if signed, err = a.fetch(ctx, layer, maxBlob); err != nil {
			return err
		}
		payloads[layer.Digest] = signed
	}
	if signed == nil {
		return nil
	}
	signer, err := v.legacy(sig, signed)
	if err == nil {
		err = checkClaim(signed, a.digest)
	}
	a.record(signer, err)
	return nil
}

// isPayload reports whether a layer is the payload of a legacy signature.
func isPayload(layer descriptor) bool { return layer.MediaType == simpleSigning }

// parseLegacyLayer parses the annotations of a layer.
func parseLegacyLayer(layer descriptor) (legacySignature, error) {
	raw, err := base64.StdEncoding.DecodeString(layer.Annotations[annotationSignature])
	if err != nil || len(raw) == 0 {
		return legacySignature{}, rejection("its signature is malformed")
	}
	sig := annotationsOf(layer)
	sig.signature = raw
	return sig, nil
}

// annotationsOf returns the annotations of a layer besides its signature.
func annotationsOf(layer descriptor) legacySignature {
	return legacySignature{
		certificate: layer.Annotations[annotationCertificate],
		log:         layer.Annotations[annotationBundle],
		timestamp:   layer.Annotations[annotationTimestamp],
	}
}

// checkClaim checks that a payload, whose signature has been verified, is a claim about
// the image with a digest.
func checkClaim(signed []byte, digest string) error {
	var claim payload.SimpleContainerImage
	if err := json.Unmarshal(signed, &claim); err != nil {
		return rejection("the signed payload is malformed")
	}
	if claim.Critical.Type != payload.CosignSignatureType {
		return rejection("the signed payload is no claim about an image")
	}
	if claim.Critical.Image.DockerManifestDigest != digest {
		return errImageMismatch
	}
	return nil
}
