// SPDX-License-Identifier: Apache-2.0

package signaturetest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	_ "github.com/notaryproject/notation-core-go/signature/jws" // registers what envelopes are made by
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/signer"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Notary is an authority for tests that lets someone sign by notation.
type Notary struct {
	root, leaf *x509.Certificate
	key        crypto.Signer
}

// Terms are of the certificate by which a Notary lets someone sign.
type Terms struct {
	Name       string        // of the subject
	ValidFor   time.Duration // 0 for a day; negative for one that has expired
	OCSPServer string        // "" for none
}

// NewNotary returns an authority that nobody else has.
func NewNotary(t testing.TB, terms Terms) Notary {
	t.Helper()
	if terms.ValidFor == 0 {
		terms.ValidFor = 24 * time.Hour
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subjectOf("authority"),
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: subjectOf(terms.Name),
		NotBefore: time.Now().Add(-36 * time.Hour), NotAfter: time.Now().Add(terms.ValidFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, BasicConstraintsValid: true,
	}
	if terms.OCSPServer != "" {
		leaf.OCSPServer = []string{terms.OCSPServer}
	}
	rootKey, leafKey := newECDSA(t), newECDSA(t)
	issuer := issue(t, root, root, rootKey.Public(), rootKey)
	return Notary{root: issuer, leaf: issue(t, leaf, issuer, leafKey.Public(), rootKey), key: leafKey}
}

// subjectOf returns a subject that notation finds complete.
func subjectOf(name string) pkix.Name {
	return pkix.Name{CommonName: name, Organization: []string{"Test"}, Country: []string{"US"}, Province: []string{"WA"}}
}

// newECDSA returns a new key.
func newECDSA(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns a certificate.
func issue(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// PEM returns the authority's certificate.
func (n Notary) PEM() []byte {
	var text bytes.Buffer
	_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: n.root.Raw})
	return text.Bytes()
}

// DER returns the authority's certificate.
func (n Notary) DER() []byte { return n.root.Raw }

// Sign returns the envelope of a signature of an image. It expires after some
// time, 0 for never.
func (n Notary) Sign(t testing.TB, image Descriptor, expiry time.Duration) []byte {
	t.Helper()
	s, err := signer.NewGenericSigner(n.key, []*x509.Certificate{n.leaf, n.root})
	if err != nil {
		t.Fatal(err)
	}
	described := ocispec.Descriptor{MediaType: image.MediaType, Digest: digest.Digest(image.Digest), Size: int64(image.Size)}
	opts := notation.SignerSignOptions{SignatureMediaType: "application/jose+json", ExpiryDuration: expiry}
	envelope, _, err := s.Sign(t.Context(), described, opts)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// TrustPolicy returns a trust policy of a level for some images, "*" for all.
func TrustPolicy(t testing.TB, level string, scopes ...string) []byte {
	t.Helper()
	statement := map[string]any{
		"name": "test", "registryScopes": scopes, "signatureVerification": map[string]any{"level": level},
	}
	if level != "skip" {
		statement["trustStores"], statement["trustedIdentities"] = []string{"ca:test"}, []string{"*"}
	}
	return encode(t, map[string]any{"version": "1.0", "trustPolicies": []any{statement}})
}
