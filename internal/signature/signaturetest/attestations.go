// SPDX-License-Identifier: Apache-2.0

package signaturetest

import (
	"crypto"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// Predicate types of attestations.
const (
	ProvenancePredicate = "https://slsa.dev/provenance/v1"
	ScanPredicate       = "https://cosign.sigstore.dev/attestation/vuln/v1"
	SBOMPredicate       = "https://spdx.dev/Document"
)

const (
	legacyEnvelopeType = "application/vnd.dsse.envelope.v1+json"
	// referringStatementType is the artifact type of legacy attestations that refer to an image.
	referringStatementType = "application/vnd.in-toto+json"
)

// Attest returns the in-toto statement with a predicate about a digest.
func Attest(t testing.TB, digest, predicateType string, predicate any) []byte {
	t.Helper()
	return encode(t, map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []any{map[string]any{"name": "app", "digest": map[string]any{"sha256": strings.TrimPrefix(digest, "sha256:")}}},
		"predicateType": predicateType, "predicate": predicate,
	})
}

// Scan returns the predicate of a vulnerability scan, as of cosign attest --type vuln with a
// report of Trivy, that finished at a time and found vulnerabilities of these severities.
func Scan(finished time.Time, severities ...string) map[string]any {
	found := []any{}
	for _, severity := range severities {
		found = append(found, map[string]any{"VulnerabilityID": "CVE-2026-0001", "Severity": severity})
	}
	at := finished.UTC().Format(time.RFC3339)
	return map[string]any{
		"scanner": map[string]any{
			"uri": "pkg:github/aquasecurity/trivy@0.60.0", "version": "0.60.0",
			"result": map[string]any{"Results": []any{map[string]any{"Target": "app"}, map[string]any{"Vulnerabilities": found}}},
		},
		"metadata": map[string]any{"scanStartedOn": at, "scanFinishedOn": at},
	}
}

// Attestation is a legacy attestation of cosign.
type Attestation struct {
	Envelope    []byte
	Annotations map[string]string
}

// Attest returns a legacy attestation of a statement.
func (k Key) Attest(t testing.TB, statement []byte) Attestation {
	t.Helper()
	return Attestation{Envelope: encode(t, envelopeOf(statement, k.raw(t, dsse.PAE(statementType, statement), crypto.SHA256)))}
}

// Attest returns a legacy attestation of a statement by an identity, which is logged at an
// offset from now.
func (s Sigstore) Attest(t testing.TB, subject, issuer string, statement []byte, offset time.Duration) Attestation {
	t.Helper()
	entity, err := s.virtual.AttestAtTime(subject, issuer, statement, time.Now().Add(offset), false)
	if err != nil {
		t.Fatal(err)
	}
	content, err := entity.SignatureContent()
	if err != nil {
		t.Fatal(err)
	}
	return Attestation{Envelope: encode(t, envelopeOf(statement, content.Signature())), Annotations: map[string]string{
		"dev.sigstore.cosign/certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafOf(t, entity)})),
		"dev.sigstore.cosign/bundle":      string(s.logEntry(t, entity)),
	}}
}

// PushAttestations pushes the legacy attestations of the image with a digest.
func PushAttestations(t testing.TB, store Store, repo, digest string, attestations ...Attestation) {
	t.Helper()
	manifest := Manifest{
		SchemaVersion: 2, MediaType: ManifestType, Config: pushConfig(t, store, repo, "application/vnd.oci.image.config.v1+json"),
		Layers: pushEnvelopes(t, store, repo, attestations),
	}
	store.PushManifest(t, repo, strings.Replace(digest, ":", "-", 1)+".att", ManifestType, encode(t, manifest))
}

// PushReferringAttestations pushes legacy attestations that refer to an image, and returns
// the descriptor of their manifest in a list of referrers.
func PushReferringAttestations(t testing.TB, store Store, repo string, image Descriptor, attestations ...Attestation) Descriptor {
	t.Helper()
	return PushReferrer(t, store, repo, Manifest{
		ArtifactType: referringStatementType, Config: pushConfig(t, store, repo, emptyType),
		Layers: pushEnvelopes(t, store, repo, attestations), Subject: &image,
	})
}

// pushEnvelopes pushes the envelopes of attestations, and returns their layers.
func pushEnvelopes(t testing.TB, store Store, repo string, attestations []Attestation) []Descriptor {
	t.Helper()
	var layers []Descriptor
	for _, a := range attestations {
		layer := Descriptor{MediaType: legacyEnvelopeType, Digest: store.PushBlob(t, repo, a.Envelope), Size: len(a.Envelope)}
		layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": ""}
		maps.Copy(layer.Annotations, a.Annotations)
		layers = append(layers, layer)
	}
	return layers
}
