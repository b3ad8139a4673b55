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

// logged is when signatures of the tests are logged: their certificates last 10
// minutes from now.
const logged = 5 * time.Minute

// TestKeyless_AcceptsSignatures tests keyless signatures in both formats.
func TestKeyless_AcceptsSignatures(t *testing.T) {
	sigstore := signaturetest.NewSigstore(t)
	formats := map[string]func(*testing.T, *scene){
		"Legacy": func(t *testing.T, s *scene) {
			s.pushSignatures(t, sigstore.Sign(t, subjectName, issuerName, signaturetest.Payload(s.app.Digest), logged))
		},
		"Bundle": func(t *testing.T, s *scene) {
			s.pushBundle(t, sigstore.Bundle(t, subjectName, issuerName, statement(s.app), logged))
		},
	}
	for name, sign := range formats {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, registrytest.WithReferrers())
			sign(t, s)
			s.reg.Reset()
			got := s.verify(t, s.verifier(t, identities(t, sigstore)))
			if want := `"release@example.com" (issuer "https://issuer.example")`; got.Signer() != want {
				t.Errorf("signed by %q, rejected for %q, want %s", got.Signer(), got.Reason(), want)
			}
			NewWithT(t).Expect(s.reg.Count(registrytest.Any)).To(BeNumerically("<=", 4), "the requests that it cost")
		})
	}
}

// TestKeyless_MatchesIdentityExpressions tests how expressions match: as in Flux and cosign they
// match a part, unless they are anchored.
func TestKeyless_MatchesIdentityExpressions(t *testing.T) {
	sigstore, s := signaturetest.NewSigstore(t), newScene(t, registrytest.WithReferrers())
	s.pushBundle(t, sigstore.Bundle(t, subjectName, issuerName, statement(s.app), logged))
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
			got := s.verify(t, s.verifier(t, identities(t, sigstore, tc.identities...)))
			NewWithT(t).Expect(got.Passed()).To(Equal(tc.want), "passed is %v for %q, want %v", got.Passed(), got.Reason(), tc.want)
			if words := `signed by "release@example.com" (issuer "https://issuer.example"), which no entry`; !tc.want && !strings.Contains(got.Reason(), words) {
				t.Errorf("the reason %q does not say who signed", got.Reason())
			}
		})
	}
}

// TestKeyless_RejectsAttacks tests keyless signatures that must not let the image pass.
func TestKeyless_RejectsAttacks(t *testing.T) {
	sigstore, stranger := signaturetest.NewSigstore(t), signaturetest.NewSigstore(t)
	key := signaturetest.NewKey(t, "ecdsa")
	legacy := func(t *testing.T, of signaturetest.Descriptor, in time.Duration) signaturetest.Signature {
		return sigstore.Sign(t, subjectName, issuerName, signaturetest.Payload(of.Digest), in)
	}
	bundle := func(t *testing.T, of signaturetest.Descriptor, in time.Duration) []byte {
		return sigstore.Bundle(t, subjectName, issuerName, statement(of), in)
	}
	material := func(b map[string]any) map[string]any { return b["verificationMaterial"].(map[string]any) }
	without := func(annotation string) func(*testing.T, *scene) {
		return func(t *testing.T, s *scene) {
			signature := legacy(t, s.app, logged)
			delete(signature.Annotations, "dev.sigstore.cosign/"+annotation)
			s.pushSignatures(t, signature)
		}
	}
	instead := func(annotation, value string) func(*testing.T, *scene) {
		return func(t *testing.T, s *scene) {
			signature := legacy(t, s.app, logged)
			signature.Annotations["dev.sigstore.cosign/"+annotation] = value
			s.pushSignatures(t, signature)
		}
	}
	cases := map[string]attack{
		"LegacyOfStranger": {reason: "another authority", want: "not valid", attack: func(t *testing.T, s *scene) {
			s.pushSignatures(t, stranger.Sign(t, subjectName, issuerName, signaturetest.Payload(s.app.Digest), logged))
		}},
		"LegacyReplayed": {reason: "another image", want: "of another image", attack: func(t *testing.T, s *scene) { s.pushSignatures(t, legacy(t, s.other, logged)) }},
		"LegacyTampered": {reason: "another payload", want: "not valid", attack: func(t *testing.T, s *scene) {
			x := legacy(t, s.other, logged)
			x.Payload = signaturetest.Payload(s.app.Digest)
			s.pushSignatures(t, x)
		}},
		"LegacyExpired":     {reason: "signed after the certificate", want: "not valid", attack: func(t *testing.T, s *scene) { s.pushSignatures(t, legacy(t, s.app, 30*time.Minute)) }},
		"LegacyTooEarly":    {reason: "signed before the certificate", want: "not valid", attack: func(t *testing.T, s *scene) { s.pushSignatures(t, legacy(t, s.app, -30*time.Minute)) }},
		"LegacyNotLogged":   {reason: "nobody saw it", want: "in no transparency log", attack: without("bundle")},
		"LegacyLogNull":     {reason: "an entry of nothing", want: "log is malformed", attack: instead("bundle", "null")},
		"LegacyLogBroken":   {reason: "an entry that is no JSON", want: "log is malformed", attack: instead("bundle", "{")},
		"LegacyLogID":       {reason: "an id that is none", want: "log is malformed", attack: instead("bundle", `{"Payload":{"body":"e30=","logID":"x"}}`)},
		"LegacyEmptyEntry":  {reason: "an entry of no kind", want: "log is malformed", attack: instead("bundle", `{"Payload":{"body":"e30=","logID":"00"}}`)},
		"LegacyTimestamp":   {reason: "a timestamp that is no JSON", want: "timestamp is malformed", attack: instead("rfc3161timestamp", "{")},
		"LegacyStampBase64": {reason: "a timestamp that is no base64", want: "timestamp is malformed", attack: instead("rfc3161timestamp", `{"SignedRFC3161Timestamp":"!"}`)},
		"LegacyByKey":       {reason: "a key is nobody", want: "signed with a key", attack: without("certificate")},
		"LegacyBadCert":     {reason: "a certificate that is none", want: "signed with a key", attack: instead("certificate", "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n")},
		"LegacyOtherEntry": {reason: "the log's entry of another signature", want: "not valid", attack: func(t *testing.T, s *scene) {
			signature, donor := legacy(t, s.app, logged), legacy(t, s.other, logged)
			signature.Annotations["dev.sigstore.cosign/bundle"] = donor.Annotations["dev.sigstore.cosign/bundle"]
			s.pushSignatures(t, signature)
		}},
		"OfStranger": {reason: "another authority", want: "not valid", attack: func(t *testing.T, s *scene) {
			s.pushBundle(t, stranger.Bundle(t, subjectName, issuerName, statement(s.app), logged))
		}},
		"Replayed": {reason: "another image", want: "of another image", attack: func(t *testing.T, s *scene) { s.pushBundle(t, bundle(t, s.other, logged)) }},
		"Expired":  {reason: "signed after the certificate", want: "not valid", attack: func(t *testing.T, s *scene) { s.pushBundle(t, bundle(t, s.app, 30*time.Minute)) }},
		"ByKey":    {reason: "a key is nobody", want: "signed with a key", attack: func(t *testing.T, s *scene) { s.pushBundle(t, key.Bundle(t, statement(s.app))) }},
		"Attestation": {reason: "what is stated may be bad", want: "attested, not signed", attack: func(t *testing.T, s *scene) {
			s.pushBundle(t, sigstore.Bundle(t, subjectName, issuerName, signaturetest.Statement(s.app.Digest, "https://slsa.dev/provenance/v1"), logged))
		}},
		"NotLogged": {reason: "nobody saw it, whatever the timestamp says", want: "in no transparency log", attack: func(t *testing.T, s *scene) {
			s.pushBundle(t, signaturetest.Change(t, bundle(t, s.app, logged), func(b map[string]any) { delete(material(b), "tlogEntries") }))
		}},
		"OtherEntry": {reason: "the log's entry of another signature", want: "not valid", attack: func(t *testing.T, s *scene) {
			donor := material(parse(t, bundle(t, s.other, logged)))["tlogEntries"]
			s.pushBundle(t, signaturetest.Change(t, bundle(t, s.app, logged), func(b map[string]any) { material(b)["tlogEntries"] = donor }))
		}},
		"OtherCertificate": {reason: "the certificate of another signature", want: "not valid", attack: func(t *testing.T, s *scene) {
			donor := material(parse(t, sigstore.Bundle(t, subjectName, issuerName, statement(s.other), logged)))["certificate"]
			s.pushBundle(t, signaturetest.Change(t, bundle(t, s.app, logged), func(b map[string]any) { material(b)["certificate"] = donor }))
		}},
		"NoCertificate": {reason: "a certificate that is none", want: "", attack: func(t *testing.T, s *scene) {
			s.pushBundle(t, signaturetest.Change(t, bundle(t, s.app, logged), func(b map[string]any) { material(b)["certificate"] = map[string]any{"rawBytes": "YQ=="} }))
		}},
	}
	checkAttacks(t, cases, identities(t, sigstore), 6)
}

// TestKeyless_RequiresEvidenceOfTrustedRoot tests that a signature must show what the trusted
// root names someone for.
func TestKeyless_RequiresEvidenceOfTrustedRoot(t *testing.T) {
	sigstore, s := signaturetest.NewSigstore(t), newScene(t, registrytest.WithReferrers())
	unlogged := signaturetest.Change(t, sigstore.Bundle(t, subjectName, issuerName, statement(s.app), logged), func(b map[string]any) {
		delete(b["verificationMaterial"].(map[string]any), "tlogEntries")
	})
	s.pushBundle(t, unlogged)
	cases := map[string]struct {
		parts signaturetest.Parts
		want  bool
	}{
		"Logs":            {parts: signaturetest.Parts{}},
		"TimestampsOnly":  {parts: signaturetest.Parts{NoLogs: true}, want: true},
		"CertificateLogs": {parts: signaturetest.Parts{NoLogs: true, CertificateLogs: true}}, // its certificate was logged nowhere
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			verify := v1.ImageVerification{MatchOIDCIdentity: []v1.OIDCIdentityMatch{{Issuer: ".*", Subject: ".*"}}, TrustedRootSecretRef: secretRef}
			rule := ruleOf(t, verify, map[string][]byte{trustedRootKey: sigstore.TrustedRoot(t, tc.parts)})
			NewWithT(t).Expect(s.verify(t, s.verifier(t, rule))).To(HaveField("Passed()", tc.want))
		})
	}
}
