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

// What cosign calls the parts of its legacy signatures.
const (
	simpleSigning = "application/vnd.dev.cosign.simplesigning.v1+json"
	// legacyReferrerType is that of legacy signatures that refer to the image, as
	// cosign sign pushes them with --registry-referrers-mode=oci-1-1
	// (https://github.com/sigstore/cosign/pull/2684).
	legacyReferrerType    = "application/vnd.dev.cosign.artifact.sig.v1+json"
	annotationSignature   = "dev.cosignproject.cosign/signature"
	annotationBundle      = "dev.sigstore.cosign/bundle"
	annotationCertificate = "dev.sigstore.cosign/certificate"
	annotationTimestamp   = "dev.sigstore.cosign/rfc3161timestamp"
)

// legacySignature is one layer of the manifest under a signature tag.
type legacySignature struct {
	signature   []byte
	certificate string // PEM, "" for none
	log         string // JSON of the entry in a transparency log, "" for none
	timestamp   string // JSON of the answer of a timestamp authority, "" for none
}

// checkLegacy looks at the signatures under the tag that cosign gives them.
func (e *attempt) checkLegacy(ctx context.Context, j signatureVerifier) error {
	manifest, err := e.Manifest(ctx, strings.Replace(e.digest, ":", "-", 1)+".sig")
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	layers, err := parseLegacy(manifest.Bytes)
	if err != nil {
		e.reject(err.Error())
		return nil
	}
	if e.signer != "" || !e.next() {
		return nil
	}
	return e.checkLayers(ctx, j, layers)
}

// checkLayers looks at the legacy signatures of one manifest, of which the first
// is counted already.
func (e *attempt) checkLayers(ctx context.Context, j signatureVerifier, layers []descriptor) error {
	payloads := map[string][]byte{} // signatures by several keys are of one payload
	for i, layer := range layers {
		if e.signer != "" || i > 0 && !e.next() {
			return nil
		}
		if err := e.checkLayer(ctx, j, layer, payloads); err != nil {
			return err
		}
	}
	return nil
}

// checkLayer looks at one signature.
func (e *attempt) checkLayer(ctx context.Context, j signatureVerifier, layer descriptor, payloads map[string][]byte) error {
	sig, err := parseLegacyLayer(layer)
	if err != nil {
		e.reject(err.Error())
		return nil
	}
	signed, known := payloads[layer.Digest]
	if !known {
		if signed, err = e.fetch(ctx, layer); err != nil {
			return err
		}
		payloads[layer.Digest] = signed
	}
	if signed == nil {
		return nil
	}
	signer, err := j.legacy(sig, signed)
	if err == nil {
		err = checkClaim(signed, e.digest)
	}
	e.recover(signer, err)
	return nil
}

// parseLegacy returns the layers of a signature manifest that are signatures.
func parseLegacy(manifest []byte) ([]descriptor, error) {
	var m artifact
	if json.Unmarshal(manifest, &m) != nil {
		return nil, rejection("the manifest under its signature tag is malformed")
	}
	found := m.layersWhere(isPayload)
	if len(found) == 0 {
		return nil, rejection("what is under its signature tag is no signature of cosign")
	}
	return found, nil
}

// isPayload reports whether a layer is the payload of a legacy signature.
func isPayload(layer descriptor) bool { return layer.MediaType == simpleSigning }

// parseLegacyLayer reads the annotations of a layer.
func parseLegacyLayer(layer descriptor) (legacySignature, error) {
	raw, err := base64.StdEncoding.DecodeString(layer.Annotations[annotationSignature])
	if err != nil || len(raw) == 0 {
		return legacySignature{}, rejection("its signature is malformed")
	}
	return legacySignature{
		signature:   raw,
		certificate: layer.Annotations[annotationCertificate],
		log:         layer.Annotations[annotationBundle],
		timestamp:   layer.Annotations[annotationTimestamp],
	}, nil
}

// checkClaim checks what a payload says, once its signature was verified: it must
// be about the image, so that the signature of another one counts nothing.
func checkClaim(signed []byte, digest string) error {
	var claim payload.SimpleContainerImage
	if err := json.Unmarshal(signed, &claim); err != nil {
		return rejection("the payload that was signed is malformed")
	}
	if claim.Critical.Type != payload.CosignSignatureType {
		return rejection("what was signed is no claim about an image")
	}
	if claim.Critical.Image.DockerManifestDigest != digest {
		return errImageMismatch
	}
	return nil
}
