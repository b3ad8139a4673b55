// SPDX-License-Identifier: Apache-2.0

package signaturetest

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
	"time"

	_ "github.com/notaryproject/notation-core-go/signature/jws" // registers the envelope format
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/signer"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// Notary is a certificate authority for tests, with a certificate for notation.
type Notary struct {
	root, leaf registrytest.Certificate
}

// CertificateOptions describe the signing certificate of a Notary.
type CertificateOptions struct {
	Name       string        // of the subject
	ValidFor   time.Duration // 0 for a day; negative if it has expired
	OCSPServer string        // "" for none
}

// NewNotary returns a new authority.
func NewNotary(t testing.TB, terms CertificateOptions) Notary {
	t.Helper()
	if terms.ValidFor == 0 {
		terms.ValidFor = 24 * time.Hour
	}
	root := &x509.Certificate{
		Subject:   subjectOf("authority"),
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1,
	}
	leaf := &x509.Certificate{
		Subject:   subjectOf(terms.Name),
		NotBefore: time.Now().Add(-36 * time.Hour), NotAfter: time.Now().Add(terms.ValidFor),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, BasicConstraintsValid: true,
	}
	if terms.OCSPServer != "" {
		leaf.OCSPServer = []string{terms.OCSPServer}
	}
	issuer := registrytest.Certificate{}.Issue(t, root)
	return Notary{root: issuer, leaf: issuer.Issue(t, leaf)}
}

// subjectOf returns a subject with the attributes that notation requires.
func subjectOf(name string) pkix.Name {
	return pkix.Name{CommonName: name, Organization: []string{"Test"}, Country: []string{"US"}, Province: []string{"WA"}}
}

// PEM returns the authority's certificate in PEM.
func (n Notary) PEM() []byte { return n.root.PEM() }

// DER returns the authority's certificate in DER.
func (n Notary) DER() []byte { return n.root.Raw }

// Sign returns the envelope of the signature of an image. The signature expires after
// expiry, 0 for never.
func (n Notary) Sign(t testing.TB, image Descriptor, expiry time.Duration) []byte {
	t.Helper()
	s, err := signer.NewGenericSigner(n.leaf.Key, []*x509.Certificate{n.leaf.Certificate, n.root.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	target := ocispec.Descriptor{MediaType: image.MediaType, Digest: digest.Digest(image.Digest), Size: int64(image.Size)}
	opts := notation.SignerSignOptions{SignatureMediaType: "application/jose+json", ExpiryDuration: expiry}
	envelope, _, err := s.Sign(t.Context(), target, opts)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// TrustPolicy returns a trust policy with a level for the images in scopes, "*" for all.
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
