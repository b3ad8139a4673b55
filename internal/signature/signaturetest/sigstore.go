// SPDX-License-Identifier: Apache-2.0

package signaturetest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
)

// Sigstore is a Sigstore for tests: certificate authorities, a timestamp authority, and a
// transparency log.
type Sigstore struct {
	virtual   *ca.VirtualSigstore
	workflows workflowAuthority
}

// NewSigstore returns a new Sigstore.
func NewSigstore(t testing.TB) Sigstore {
	t.Helper()
	virtual, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	return Sigstore{virtual: virtual, workflows: newWorkflowAuthority(t)}
}

// RootOptions selects what a trusted root leaves out or adds.
type RootOptions struct{ NoLogs, NoTimestamps, NoAuthorities, CertificateLogs bool }

// TrustedRoot returns its trusted_root.json.
func (s Sigstore) TrustedRoot(t testing.TB, parts RootOptions) []byte {
	t.Helper()
	authorities := append(s.virtual.FulcioCertificateAuthorities(), s.workflows.trusted())
	timestampAuthorities := s.virtual.TimestampingAuthorities()
	logs, certificateLogs := withBinaryIDs(t, s.virtual.RekorLogs()), withBinaryIDs(t, s.virtual.CTLogs())
	if parts.NoLogs {
		logs = nil
	}
	if parts.NoTimestamps {
		timestampAuthorities = nil
	}
	if parts.NoAuthorities {
		authorities = nil
	}
	if !parts.CertificateLogs {
		certificateLogs = nil
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, authorities, certificateLogs, timestampAuthorities, logs)
	if err != nil {
		t.Fatal(err)
	}
	text, err := trusted.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// withBinaryIDs sets the ids of logs to bytes, as in a trusted root, in place of their
// hexadecimal form.
func withBinaryIDs(t testing.TB, logs map[string]*root.TransparencyLog) map[string]*root.TransparencyLog {
	t.Helper()
	for id, log := range logs {
		raw, err := hex.DecodeString(id)
		if err != nil {
			t.Fatal(err)
		}
		log.ID = raw
	}
	return logs
}

// Sign returns a legacy signature of a payload by an identity, which is logged at an
// offset from now.
func (s Sigstore) Sign(t testing.TB, subject, issuer string, payload []byte, offset time.Duration) Signature {
	t.Helper()
	entity, err := s.virtual.SignAtTime(subject, issuer, payload, time.Now().Add(offset))
	if err != nil {
		t.Fatal(err)
	}
	content, err := entity.SignatureContent()
	if err != nil {
		t.Fatal(err)
	}
	timestamps, err := entity.Timestamps()
	if err != nil {
		t.Fatal(err)
	}
	return Signature{Payload: payload, Raw: content.Signature(), Annotations: map[string]string{
		"dev.sigstore.cosign/certificate":      string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafOf(t, entity)})),
		"dev.sigstore.cosign/bundle":           string(s.logEntry(t, entity)),
		"dev.sigstore.cosign/rfc3161timestamp": string(encode(t, map[string]any{"SignedRFC3161Timestamp": timestamps[0]})),
	}}
}

// leafOf returns the certificate of a signature.
func leafOf(t testing.TB, entity verify.SignedEntity) []byte {
	t.Helper()
	content, err := entity.VerificationContent()
	if err != nil {
		t.Fatal(err)
	}
	return content.Certificate().Raw
}

// entryOf returns the log entry of a signature.
func entryOf(t testing.TB, entity verify.SignedEntity) *tlog.Entry {
	t.Helper()
	entries, err := entity.TlogEntries()
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries, error %v", len(entries), err)
	}
	return entries[0]
}

// inclusionPromise returns the inclusion promise of a log entry: its payload and the signature.
func (s Sigstore) inclusionPromise(t testing.TB, entry *tlog.Entry) (tlog.RekorPayload, []byte) {
	t.Helper()
	logged := entry.TransparencyLogEntry()
	id, err := s.virtual.RekorLogID()
	if err != nil {
		t.Fatal(err)
	}
	payload := tlog.RekorPayload{
		Body:           base64.StdEncoding.EncodeToString(logged.CanonicalizedBody),
		IntegratedTime: logged.IntegratedTime, LogIndex: logged.LogIndex, LogID: id,
	}
	promise, err := s.virtual.RekorSignPayload(payload)
	if err != nil {
		t.Fatal(err)
	}
	return payload, promise
}

// logEntry returns the log entry of a signature in the format of legacy signatures.
func (s Sigstore) logEntry(t testing.TB, entity verify.SignedEntity) []byte {
	t.Helper()
	payload, promise := s.inclusionPromise(t, entryOf(t, entity))
	return encode(t, map[string]any{"SignedEntryTimestamp": promise, "Payload": map[string]any{
		"body": payload.Body, "integratedTime": payload.IntegratedTime, "logIndex": payload.LogIndex, "logID": payload.LogID,
	}})
}

// Bundle returns a bundle of a statement by an identity, which is logged at an offset from
// now.
func (s Sigstore) Bundle(t testing.TB, subject, issuer string, statement []byte, offset time.Duration) []byte {
	t.Helper()
	entity, err := s.virtual.AttestAtTime(subject, issuer, statement, time.Now().Add(offset), true)
	if err != nil {
		t.Fatal(err)
	}
	content, err := entity.SignatureContent()
	if err != nil {
		t.Fatal(err)
	}
	timestamps, err := entity.Timestamps()
	if err != nil {
		t.Fatal(err)
	}
	return s.bundleOf(t, leafOf(t, entity), entryOf(t, entity), timestamps[0], envelopeOf(statement, content.Signature()))
}

// bundleOf returns a bundle of an envelope.
func (s Sigstore) bundleOf(t testing.TB, leaf []byte, entry *tlog.Entry, timestamp []byte, envelope map[string]any) []byte {
	t.Helper()
	return encode(t, map[string]any{
		"mediaType": BundleType,
		"verificationMaterial": map[string]any{
			"certificate":               map[string]any{"rawBytes": leaf},
			"tlogEntries":               []any{s.bundledEntry(t, entry)},
			"timestampVerificationData": map[string]any{"rfc3161Timestamps": []any{map[string]any{"signedTimestamp": timestamp}}},
		},
		"dsseEnvelope": envelope,
	})
}

// bundledEntry returns a log entry in the format of bundles.
func (s Sigstore) bundledEntry(t testing.TB, entry *tlog.Entry) map[string]any {
	t.Helper()
	text, err := protojson.Marshal(entry.TransparencyLogEntry())
	if err != nil {
		t.Fatal(err)
	}
	var parts map[string]any
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatal(err)
	}
	_, promise := s.inclusionPromise(t, entry)
	parts["inclusionPromise"] = map[string]any{"signedEntryTimestamp": promise}
	parts["kindVersion"] = map[string]any{"kind": "dsse", "version": "0.0.1"}
	return parts
}
