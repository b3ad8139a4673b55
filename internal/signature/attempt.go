// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

const (
	// maxSignatures bounds the signatures of one image that are checked.
	maxSignatures = 32
	// maxBlob bounds a payload, a bundle or an envelope, in bytes.
	maxBlob = 1 << 20
	// maxAttestation bounds a bundle or an envelope with an attestation, in bytes. The
	// predicate has at most three quarters of it, because it is encoded as base64.
	maxAttestation = 4 << 20
	// maxReasons bounds the reasons that a rejection lists.
	maxReasons = 3
)

// attempt checks the signatures of one image, one after the other, until one passes.
type attempt struct {
	subject
	noun    string   // what is checked, for messages
	checked int      // number of signatures
	reasons []string // why signatures were rejected, without duplicates
	failed  error    // why a signature could not be checked
	more    bool     // whether there are more than maxSignatures
	signer  string   // of the signature that passed
}

// next counts a signature, and reports whether it should be checked.
func (a *attempt) next() bool {
	if a.checked == maxSignatures {
		a.more = true
		return false
	}
	a.checked++
	return true
}

// reject records why a signature was rejected.
func (a *attempt) reject(reason string) {
	if !slices.Contains(a.reasons, reason) {
		a.reasons = append(a.reasons, reason)
	}
}

// record records the result of a signatureVerifier.
func (a *attempt) record(signer string, err error) {
	if err != nil {
		a.reject(printable(err.Error()))
		return
	}
	a.signer = signer
}

// recordMissing records that the registry lacks a part of a signature that it listed.
// That is an error unless another signature passes. It returns every other error.
func (a *attempt) recordMissing(err error) error {
	if errors.Is(err, registry.ErrNotFound) {
		a.failed = err
		return nil
	}
	return err
}

// fetch fetches the blob of a signature of at most limit bytes, nil if the signature is
// rejected.
func (a *attempt) fetch(ctx context.Context, d descriptor, limit int64) ([]byte, error) {
	switch {
	case !image.IsDigest(d.Digest):
		a.reject("its " + a.noun + " names a digest that is malformed")
		return nil, nil
	case d.Size > limit || d.Size < 0:
		a.reject(fmt.Sprintf("its %s has more than the %d bytes that are read", a.noun, limit))
		return nil, nil
	}
	blob, err := a.Blob(ctx, d.Digest, limit)
	return blob, a.recordMissing(err)
}

// verdict returns the result. kind names the kind of signature.
func (a *attempt) verdict(kind string) (Verdict, error) {
	switch {
	case a.signer != "":
		return Verdict{signer: a.signer}, nil
	case a.failed != nil:
		return Verdict{}, a.failed
	case a.checked == 0 && len(a.reasons) == 0:
		return reject("it has no " + kind), nil
	default:
		return reject(a.describe(kind)), nil
	}
}

// describe describes why no signature passed.
func (a *attempt) describe(kind string) string {
	return fmt.Sprintf("no %s passes: %s", kind, a.join(a.reasons))
}

// join joins the first reasons, and adds whether more signatures were not checked.
func (a *attempt) join(reasons []string) string {
	suffix := ""
	if len(reasons) > maxReasons {
		suffix = fmt.Sprintf(", and %d reasons more", len(reasons)-maxReasons)
		reasons = reasons[:maxReasons]
	}
	text := strings.Join(reasons, "; ") + suffix
	if a.more {
		text += fmt.Sprintf("; it has more than the %d %ss that are checked: remove those that are not needed", maxSignatures, a.noun)
	}
	return text
}

// descriptor describes a blob of a manifest.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations"`
}

// signatureManifest has the fields that are used of a signature's manifest.
type signatureManifest struct {
	ArtifactType string            `json:"artifactType"`
	Config       descriptor        `json:"config"`
	Layers       []descriptor      `json:"layers"`
	Subject      *descriptor       `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

// layersWhere returns the layers that match a predicate.
func (m *signatureManifest) layersWhere(matches func(descriptor) bool) []descriptor {
	return slices.DeleteFunc(slices.Clone(m.Layers), func(layer descriptor) bool { return !matches(layer) })
}
