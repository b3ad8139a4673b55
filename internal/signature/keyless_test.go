// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// logged is when the signatures of tests are logged, from now. Their certificates are
// valid for the next 10 minutes.
const logged = 5 * time.Minute

// TestKeyless_AcceptsSignatures tests keyless signatures in both formats.
func TestKeyless_AcceptsSignatures(t *testing.T) {
	sigstore := signaturetest.NewSigstore(t)
	formats := map[string]func(*testing.T, *fixture){
		"Legacy": func(t *testing.T, f *fixture) {
			f.pushSignatures(t, sigstore.Sign(t, subjectName, issuerName, signaturetest.Payload(f.app.Digest), logged))
		},
		"Bundle": func(t *testing.T, f *fixture) {
			f.pushBundle(t, sigstore.Bundle(t, subjectName, issuerName, statement(f.app), logged))
		},
	}
	for name, sign := range formats {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, registrytest.WithReferrers())
			sign(t, f)
			f.reg.Reset()
			got := f.verify(t, f.verifier(t, identities(t, sigstore)))
			if want := `"release@example.com" (issuer "https://issuer.example")`; got.Signer() != want {
				t.Errorf("signed by %q, rejected for %q, want %s", got.Signer(), got.Reason(), want)
			}
			NewWithT(t).Expect(f.reg.Count(registrytest.Any)).To(BeNumerically("<=", 4), "requests")
		})
	}
}

// TestKeyless_MatchesIdentityExpressions tests that expressions match a part of the
// identity unless they are anchored, as in Flux and cosign.
func TestKeyless_MatchesIdentityExpressions(t *testing.T) {
	sigstore, f := signaturetest.NewSigstore(t), newFixture(t, registrytest.WithReferrers())
	f.pushBundle(t, sigstore.Bundle(t, subjectName, issuerName, statement(f.app), logged))
	cases := map[string]struct {
		identities []v1.OIDCIdentityMatch
		want       bool
	}{
		"Anchored":        {identities: []v1.OIDCIdentityMatch{{Issuer: `^https://issuer\.example$`, Subject: `^release@example\.com$`}}, want: true},
		"Part":            {identities: []v1.OIDCIdentityMatch{{Issuer: `issuer`, Subject: `@example\.com`}}, want: true},
		"AnchoredPrefix":  {identities: []v1.OIDCIdentityMatch{{Issuer: `issuer`, Subject: `^release$`}}},
		"AnchoredSuffix":  {identities: []v1.OIDCIdentityMatch{{Issuer: `^issuer`, Subject: `release`}}},
		"WrongSubject":    {identities: []v1.OIDCIdentityMatch{{Issuer: `.*`, Subject: `^other@`}}},
		"WrongIssuer":     {identities: []v1.OIDCIdentityMatch{{Issuer: `^https://other`, Subject: `.*`}}},
		"Second":          {identities: []v1.OIDCIdentityMatch{{Issuer: `other`, Subject: `.*`}, {Issuer: `issuer`, Subject: `release`}}, want: true},
		"HalfOfEach":      {identities: []v1.OIDCIdentityMatch{{Issuer: `issuer`, Subject: `other`}, {Issuer: `other`, Subject: `release`}}},
		"CaseOfTheLetter": {identities: []v1.OIDCIdentityMatch{{Issuer: `issuer`, Subject: `RELEASE`}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := f.verify(t, f.verifier(t, identities(t, sigstore, tc.identities...)))
			NewWithT(t).Expect(got.Passed()).To(Equal(tc.want), "passed is %v for %q, want %v", got.Passed(), got.Reason(), tc.want)
			if signer := `signed by "release@example.com" (issuer "https://issuer.example"), which no entry`; !tc.want && !strings.Contains(got.Reason(), signer) {
				t.Errorf("the reason %q does not contain the signer", got.Reason())
			}
		})
	}
}

// TestKeyless_RejectsAttacks tests keyless signatures that must not let the image pass.
func TestKeyless_RejectsAttacks(t *testing.T) {
	sigstore, untrusted := signaturetest.NewSigstore(t), signaturetest.NewSigstore(t)
	key := signaturetest.NewKey(t, "ecdsa")
	legacy := func(t *testing.T, of signaturetest.Descriptor, offset time.Duration) signaturetest.Signature {
		return sigstore.Sign(t, subjectName, issuerName, signaturetest.Payload(of.Digest), offset)
	}
	bundle := func(t *testing.T, of signaturetest.Descriptor, offset time.Duration) []byte {
		return sigstore.Bundle(t, subjectName, issuerName, statement(of), offset)
	}
	material := func(b map[string]any) map[string]any { return b["verificationMaterial"].(map[string]any) }
	without := func(annotation string) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) {
			signature := legacy(t, f.app, logged)
			delete(signature.Annotations, "dev.sigstore.cosign/"+annotation)
			f.pushSignatures(t, signature)
		}
	}
	with := func(annotation, value string) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) {
			signature := legacy(t, f.app, logged)
			signature.Annotations["dev.sigstore.cosign/"+annotation] = value
			f.pushSignatures(t, signature)
		}
	}
	cases := map[string]attack{
		"LegacyOfOtherAuthority": {reason: "another authority", want: "not valid", attack: func(t *testing.T, f *fixture) {
			f.pushSignatures(t, untrusted.Sign(t, subjectName, issuerName, signaturetest.Payload(f.app.Digest), logged))
		}},
		"LegacyReplayed": {reason: "another image", want: "of another image", attack: func(t *testing.T, f *fixture) { f.pushSignatures(t, legacy(t, f.other, logged)) }},
		"LegacyTampered": {reason: "another payload", want: "not valid", attack: func(t *testing.T, f *fixture) {
			signature := legacy(t, f.other, logged)
			signature.Payload = signaturetest.Payload(f.app.Digest)
			f.pushSignatures(t, signature)
		}},
		"LegacyExpired":     {reason: "signed after the certificate expired", want: "not valid", attack: func(t *testing.T, f *fixture) { f.pushSignatures(t, legacy(t, f.app, 30*time.Minute)) }},
		"LegacyTooEarly":    {reason: "signed before the certificate was valid", want: "not valid", attack: func(t *testing.T, f *fixture) { f.pushSignatures(t, legacy(t, f.app, -30*time.Minute)) }},
		"LegacyNotLogged":   {reason: "no entry in the transparency log", want: "in no transparency log", attack: without("bundle")},
		"LegacyLogNull":     {reason: "a log entry that is null", want: "log is malformed", attack: with("bundle", "null")},
		"LegacyLogBroken":   {reason: "a log entry that is not JSON", want: "log is malformed", attack: with("bundle", "{")},
		"LegacyLogID":       {reason: "a log id that is not hexadecimal", want: "log is malformed", attack: with("bundle", `{"Payload":{"body":"e30=","logID":"x"}}`)},
		"LegacyEmptyEntry":  {reason: "a log entry without a kind", want: "log is malformed", attack: with("bundle", `{"Payload":{"body":"e30=","logID":"00"}}`)},
		"LegacyTimestamp":   {reason: "a timestamp that is not JSON", want: "timestamp is malformed", attack: with("rfc3161timestamp", "{")},
		"LegacyStampBase64": {reason: "a timestamp that is not base64", want: "timestamp is malformed", attack: with("rfc3161timestamp", `{"SignedRFC3161Timestamp":"!"}`)},
		"LegacyByKey":       {reason: "a key has no identity", want: "signed with a key", attack: without("certificate")},
		"LegacyBadCert":     {reason: "an invalid certificate", want: "signed with a key", attack: with("certificate", "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n")},
		"LegacyOtherEntry": {reason: "the log entry of another signature", want: "not valid", attack: func(t *testing.T, f *fixture) {
			signature, donor := legacy(t, f.app, logged), legacy(t, f.other, logged)
			signature.Annotations["dev.sigstore.cosign/bundle"] = donor.Annotations["dev.sigstore.cosign/bundle"]
			f.pushSignatures(t, signature)
		}},
		"OfOtherAuthority": {reason: "another authority", want: "not valid", attack: func(t *testing.T, f *fixture) {
			f.pushBundle(t, untrusted.Bundle(t, subjectName, issuerName, statement(f.app), logged))
		}},
		"Replayed": {reason: "another image", want: "of another image", attack: func(t *testing.T, f *fixture) { f.pushBundle(t, bundle(t, f.other, logged)) }},
		"Expired":  {reason: "signed after the certificate expired", want: "not valid", attack: func(t *testing.T, f *fixture) { f.pushBundle(t, bundle(t, f.app, 30*time.Minute)) }},
		"ByKey":    {reason: "a key has no identity", want: "signed with a key", attack: func(t *testing.T, f *fixture) { f.pushBundle(t, key.Bundle(t, statement(f.app))) }},
		"Attestation": {reason: "an attestation may be unfavorable", want: "attested, not signed", attack: func(t *testing.T, f *fixture) {
			f.pushBundle(t, sigstore.Bundle(t, subjectName, issuerName, signaturetest.Statement(f.app.Digest, "https://slsa.dev/provenance/v1"), logged))
		}},
		"NotLogged": {reason: "no entry in the transparency log, in spite of a timestamp", want: "in no transparency log", attack: func(t *testing.T, f *fixture) {
			f.pushBundle(t, signaturetest.Change(t, bundle(t, f.app, logged), func(b map[string]any) { delete(material(b), "tlogEntries") }))
		}},
		"OtherEntry": {reason: "the log entry of another signature", want: "not valid", attack: func(t *testing.T, f *fixture) {
			donor := material(parse(t, bundle(t, f.other, logged)))["tlogEntries"]
			f.pushBundle(t, signaturetest.Change(t, bundle(t, f.app, logged), func(b map[string]any) { material(b)["tlogEntries"] = donor }))
		}},
		"OtherCertificate": {reason: "the certificate of another signature", want: "not valid", attack: func(t *testing.T, f *fixture) {
			donor := material(parse(t, sigstore.Bundle(t, subjectName, issuerName, statement(f.other), logged)))["certificate"]
			f.pushBundle(t, signaturetest.Change(t, bundle(t, f.app, logged), func(b map[string]any) { material(b)["certificate"] = donor }))
		}},
		"NoCertificate": {reason: "an invalid certificate", want: "", attack: func(t *testing.T, f *fixture) {
			f.pushBundle(t, signaturetest.Change(t, bundle(t, f.app, logged), func(b map[string]any) { material(b)["certificate"] = map[string]any{"rawBytes": "YQ=="} }))
		}},
	}
	checkAttacks(t, cases, identities(t, sigstore), 6)
}

// TestKeyless_RequiresEvidenceOfTrustedRoot tests that a signature needs an entry in each
// kind of log that the trusted root has.
func TestKeyless_RequiresEvidenceOfTrustedRoot(t *testing.T) {
	sigstore, f := signaturetest.NewSigstore(t), newFixture(t, registrytest.WithReferrers())
	unlogged := signaturetest.Change(t, sigstore.Bundle(t, subjectName, issuerName, statement(f.app), logged), func(b map[string]any) {
		delete(b["verificationMaterial"].(map[string]any), "tlogEntries")
	})
	f.pushBundle(t, unlogged)
	cases := map[string]struct {
		parts signaturetest.RootOptions
		want  bool
	}{
		"Logs":            {parts: signaturetest.RootOptions{}},
		"TimestampsOnly":  {parts: signaturetest.RootOptions{NoLogs: true}, want: true},
		"CertificateLogs": {parts: signaturetest.RootOptions{NoLogs: true, CertificateLogs: true}}, // the certificate is in no log
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			verify := v1.ImageVerification{MatchOIDCIdentity: []v1.OIDCIdentityMatch{{Issuer: ".*", Subject: ".*"}}, TrustedRootSecretRef: secretRef}
			rule := ruleOf(t, verify, map[string][]byte{trustedRootKey: sigstore.TrustedRoot(t, tc.parts)})
			NewWithT(t).Expect(f.verify(t, f.verifier(t, rule))).To(HaveField("Passed()", tc.want))
		})
	}
}
