// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"google.golang.org/protobuf/encoding/protojson"
)

// legacyBundleType is the version of bundles that corresponds to legacy signatures: log
// entries have an inclusion promise and no inclusion proof.
const legacyBundleType = bundleType + "+json;version=0.1"

// bundle converts a legacy signature of a payload to a bundle.
func (l legacySignature) bundle(payload []byte) (*bundle.Bundle, error) {
	material, err := l.material()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(payload)
	return newLegacyBundle(&protobundle.Bundle{
		VerificationMaterial: material,
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     l.signature,
		}},
	})
}

// attestation converts a legacy attestation to a bundle. The signature is in the envelope.
func (l legacySignature) attestation(envelope []byte) (*bundle.Bundle, error) {
	var parsed protodsse.Envelope
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(envelope, &parsed); err != nil {
		return nil, rejection("its envelope is malformed")
	}
	material := &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{}},
	}
	if l.certificate != "" {
		var err error
		if material, err = l.material(); err != nil {
			return nil, err
		}
	}
	return newLegacyBundle(&protobundle.Bundle{
		VerificationMaterial: material,
		Content:              &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &parsed},
	})
}

// newLegacyBundle returns a bundle of the version that corresponds to legacy signatures.
func newLegacyBundle(parts *protobundle.Bundle) (*bundle.Bundle, error) {
	parts.MediaType = legacyBundleType
	b, err := bundle.NewBundle(parts)
	if err != nil {
		return nil, rejection("the entry of its transparency log is malformed")
	}
	return b, nil
}

// material returns the certificate of a legacy signature, its log entry and its timestamp.
func (l legacySignature) material() (*protobundle.VerificationMaterial, error) {
	cert, _ := pem.Decode([]byte(l.certificate))
	if cert == nil || cert.Type != "CERTIFICATE" {
		return nil, rejection("it is signed with a key, not with the certificate of an identity")
	}
	entries, err := parseLogEntry(l.log)
	if err != nil {
		return nil, err
	}
	timestamps, err := parseTimestamp(l.timestamp)
	if err != nil {
		return nil, err
	}
	return &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_X509CertificateChain{
			X509CertificateChain: &protocommon.X509CertificateChain{
				Certificates: []*protocommon.X509Certificate{{RawBytes: cert.Bytes}},
			},
		},
		TlogEntries:               entries,
		TimestampVerificationData: timestamps,
	}, nil
}

// parseLogEntry parses the entry of a transparency log, nil if text is empty.
func parseLogEntry(text string) ([]*protorekor.TransparencyLogEntry, error) {
	const malformed = rejection("the entry of its transparency log is malformed")
	if text == "" {
		return nil, nil
	}
	var entry struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           []byte `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
		}
	}
	var body struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
	}
	if err := json.Unmarshal([]byte(text), &entry); err != nil {
		return nil, malformed
	}
	if err := json.Unmarshal(entry.Payload.Body, &body); err != nil {
		return nil, malformed
	}
	id, err := hex.DecodeString(entry.Payload.LogID)
	if err != nil {
		return nil, malformed
	}
	return []*protorekor.TransparencyLogEntry{{
		LogIndex:          entry.Payload.LogIndex,
		LogId:             &protocommon.LogId{KeyId: id},
		KindVersion:       &protorekor.KindVersion{Kind: body.Kind, Version: body.APIVersion},
		IntegratedTime:    entry.Payload.IntegratedTime,
		InclusionPromise:  &protorekor.InclusionPromise{SignedEntryTimestamp: entry.SignedEntryTimestamp},
		CanonicalizedBody: entry.Payload.Body,
	}}, nil
}

// parseTimestamp parses the response of a timestamp authority, nil if text is empty.
func parseTimestamp(text string) (*protobundle.TimestampVerificationData, error) {
	if text == "" {
		return nil, nil
	}
	var stamp struct{ SignedRFC3161Timestamp []byte }
	if err := json.Unmarshal([]byte(text), &stamp); err != nil {
		return nil, rejection("its timestamp is malformed")
	}
	return &protobundle.TimestampVerificationData{
		Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: stamp.SignedRFC3161Timestamp}},
	}, nil
}
