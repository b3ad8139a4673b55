// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"context"
	"fmt"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// maxIdentities bounds the identities of one rule.
const maxIdentities = 64

// keyless verifies signatures by identities, with the authorities of a trusted root.
type keyless struct {
	root       func(context.Context) (*root.TrustedRoot, error) // fails with an *UnavailableError
	identities verify.CertificateIdentities
}

// newKeyless parses the identities and the trusted root of a rule.
func newKeyless(rule Rule, public *PublicRoot) (*cosign, error) {
	if len(rule.identities) == 0 || len(rule.identities) > maxIdentities {
		return nil, invalidf("spec.verify.matchOIDCIdentity must have between 1 and %d entries", maxIdentities)
	}
	k := &keyless{}
	for i, identity := range rule.identities {
		parsed, err := parseIdentity(i, identity)
		if err != nil {
			return nil, err
		}
		k.identities = append(k.identities, parsed)
	}
	text, found := rule.files[trustedRootKey]
	switch {
	case found:
		trusted, err := parseTrustedRoot(text)
		if err != nil {
			return nil, invalidf("%s %s", trustedRootKey, err)
		}
		k.root = func(context.Context) (*root.TrustedRoot, error) { return trusted, nil }
	case public == nil:
		return nil, invalidf("no public trusted root is available here: give one in a Secret")
	default:
		k.root = public.Get
	}
	return &cosign{verifier: k.newIdentityVerifier}, nil
}

// parseIdentity compiles the expressions of one identity.
func parseIdentity(index int, identity v1.OIDCIdentityMatch) (verify.CertificateIdentity, error) {
	field := fmt.Sprintf("spec.verify.matchOIDCIdentity[%d]", index)
	if identity.Issuer == "" || identity.Subject == "" {
		return verify.CertificateIdentity{}, invalidf("%s must have an issuer and a subject: an empty one would match all", field)
	}
	issuer, err := verify.NewIssuerMatcher("", identity.Issuer)
	if err != nil {
		return verify.CertificateIdentity{}, invalidf("%s.issuer is no regular expression of Go: %s", field, err)
	}
	subject, err := verify.NewSANMatcher("", identity.Subject)
	if err != nil {
		return verify.CertificateIdentity{}, invalidf("%s.subject is no regular expression of Go: %s", field, err)
	}
	return verify.CertificateIdentity{Issuer: issuer, SubjectAlternativeName: subject}, nil
}

// parseTrustedRoot parses a trusted root, and fails if it lacks what verification needs.
func parseTrustedRoot(text []byte) (*root.TrustedRoot, error) {
	trusted, err := root.NewTrustedRootFromJSON(text)
	if err != nil {
		return nil, fmt.Errorf("is no trusted root of Sigstore: %s", printable(err.Error()))
	}
	if len(trusted.FulcioCertificateAuthorities()) == 0 {
		return nil, rejection("has no certificate authority: add one to its certificateAuthorities")
	}
	if len(trusted.RekorLogs()) == 0 && len(trusted.TimestampingAuthorities()) == 0 {
		return nil, rejection("has no source of the time of signatures: add an entry to its tlogs or timestampAuthorities")
	}
	return trusted, nil
}

// evidenceOptions returns the required evidence of a signature: a timestamp, and, if the trusted
// root has such logs, an entry in a transparency log and a logged certificate. The
// current time is never used, because certificates are valid for minutes.
func evidenceOptions(trusted *root.TrustedRoot) []verify.VerifierOption {
	options := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	if len(trusted.RekorLogs()) > 0 {
		options = append(options, verify.WithTransparencyLog(1))
	}
	if len(trusted.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	return options
}

// newIdentityVerifier returns the verifier for the current trusted root.
func (k *keyless) newIdentityVerifier(ctx context.Context) (signatureVerifier, error) {
	trusted, err := k.root(ctx)
	if err != nil {
		return nil, err
	}
	verifier, err := verify.NewVerifier(trusted, evidenceOptions(trusted)...)
	if err != nil {
		return nil, &UnavailableError{detail: "the trusted root can't be used: " + printable(err.Error())}
	}
	return &identityVerifier{verifier: verifier, identities: k.identities, logged: len(trusted.RekorLogs()) > 0}, nil
}

// identityVerifier verifies signatures by identities and one trusted root.
type identityVerifier struct {
	verifier   *verify.Verifier
	identities verify.CertificateIdentities
	logged     bool // whether an entry in a transparency log is required
}

// legacy implements signatureVerifier.
func (i *identityVerifier) legacy(sig legacySignature, payload []byte) (string, error) {
	b, err := sig.bundle(payload)
	if err != nil {
		return "", err
	}
	signer, _, err := i.check(b, verify.WithArtifact(bytes.NewReader(payload)))
	return signer, err
}

// bundle implements signatureVerifier.
func (i *identityVerifier) bundle(b *bundle.Bundle, digest []byte) (string, *verify.VerificationResult, error) {
	return i.check(b, verify.WithArtifactDigest("sha256", digest))
}

// check verifies a bundle, and then the identity of its signer.
func (i *identityVerifier) check(b *bundle.Bundle, artifact verify.ArtifactPolicyOption) (string, *verify.VerificationResult, error) {
	if content, err := b.VerificationContent(); err != nil || content.Certificate() == nil {
		return "", nil, rejection("it is signed with a key, not with the certificate of an identity")
	}
	if i.logged && len(b.GetVerificationMaterial().GetTlogEntries()) == 0 {
		return "", nil, rejection("the signature is in no transparency log")
	}
	// signerOf checks the identity, so that the reason names one that does not match.
	result, err := i.verifier.Verify(b, verify.NewPolicy(artifact, verify.WithoutIdentitiesUnsafe()))
	if err != nil {
		if isImageMismatch(err) {
			return "", nil, errImageMismatch
		}
		return "", nil, rejection("the signature is not valid: " + printable(err.Error()))
	}
	signer, err := i.signerOf(result.Signature.Certificate)
	return signer, result, err
}

// signerOf returns the identity of a verified certificate. It fails if the identity does
// not match the rule.
func (i *identityVerifier) signerOf(cert *certificate.Summary) (string, error) {
	if cert == nil || cert.SubjectAlternativeName == "" || cert.Issuer == "" {
		return "", rejection("the certificate of the signature names no identity")
	}
	signer := fmt.Sprintf("%s (issuer %s)", quote(cert.SubjectAlternativeName), quote(cert.Issuer))
	if _, err := i.identities.Verify(*cert); err != nil {
		return "", rejection("it is signed by " + signer + ", which no entry of spec.verify.matchOIDCIdentity matches")
	}
	return signer, nil
}
