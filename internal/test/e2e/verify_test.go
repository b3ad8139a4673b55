// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// signing is a fixture with signed images in the registry of the suite.
type signing struct {
	*fixture
	store signaturetest.Remote
}

func newSigning(f *fixture) *signing { return &signing{f, signaturetest.Remote(suite.registry.Host())} }

// path returns the repository in the registry.
func (s *signing) path() string { return s.namespace + "/app" }

// secret creates a Secret.
func (s *signing) secret(name string, data map[string][]byte) *meta.LocalObjectReference {
	s.t.Helper()
	secret := &corev1.Secret{ObjectMeta: s.meta(name), Data: data}
	s.Expect(suite.api.Create(s.ctx, secret)).To(Succeed())
	return &meta.LocalObjectReference{Name: name}
}

// byKey returns a function that signs an image with a key, as do byIdentity and byNotary in their
// schemes. The signature of image app claims the digest claimed, which differs if it is forged.
func (s *signing) byKey(key signaturetest.Key) func(app, claimed string) {
	return func(app, claimed string) {
		signaturetest.PushSignatures(s.t, s.store, s.path(), app, key.Sign(s.t, signaturetest.Payload(claimed)))
	}
}

func (s *signing) byIdentity(sigstore signaturetest.Sigstore, subject string) func(app, claimed string) {
	return func(app, claimed string) {
		bundle := sigstore.Bundle(s.t, subject, "https://issuer.example", signaturetest.Statement(claimed, signaturetest.SignPredicate), 5*time.Minute)
		s.refer(app, signaturetest.PushBundle(s.t, s.store, s.path(), s.describe(app), bundle, signaturetest.SignPredicate))
	}
}

func (s *signing) byNotary(notary signaturetest.Notary) func(app, claimed string) {
	return func(app, claimed string) {
		s.refer(app, signaturetest.PushEnvelope(s.t, s.store, s.path(), s.describe(app), notary.Sign(s.t, s.describe(claimed), 0)))
	}
}

// refer adds a referrer to the referrers tag, as clients do if the registry has no referrers API.
func (s *signing) refer(app string, referrer signaturetest.Descriptor) {
	signaturetest.PushReferrerTag(s.t, s.store, s.path(), app, referrer)
}

// describe returns the descriptor of a manifest.
func (s *signing) describe(digest string) signaturetest.Descriptor {
	return s.store.Describe(s.t, s.path(), digest)
}

// TestVerify_SelectsOnlySignedImages checks for each scheme that a signed image is selected in
// place of higher ones that are not signed, signed by another signer, or have a signature of
// another image, and that an image is selected if it is signed later.
func TestVerify_SelectsOnlySignedImages(t *testing.T) {
	type scheme struct {
		verify  func(s *signing) *v1.ImageVerification
		trusted func(s *signing) func(app, claimed string)
		other   func(s *signing) func(app, claimed string)
		signer  string
	}
	key, otherKey := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ed25519")
	sigstore := signaturetest.NewSigstore(t)
	notary, otherNotary := signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release"}), signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "other"})
	for name, sc := range map[string]scheme{
		"cosign keys": {
			verify: func(s *signing) *v1.ImageVerification {
				keys := map[string][]byte{"old.pub": signaturetest.NewKey(t, "rsa").PublicPEM(t), "release.pub": key.PublicPEM(t), "readme": []byte("no key")}
				return &v1.ImageVerification{SecretRef: s.secret("keys", keys)}
			},
			trusted: func(s *signing) func(string, string) { return s.byKey(key) },
			other:   func(s *signing) func(string, string) { return s.byKey(otherKey) },
			signer:  "release.pub",
		},
		"cosign keyless": {
			verify: func(s *signing) *v1.ImageVerification {
				return &v1.ImageVerification{
					MatchOIDCIdentity:    []v1.OIDCIdentityMatch{{Issuer: `^https://issuer\.example$`, Subject: `^release@example\.com$`}},
					TrustedRootSecretRef: s.secret("root", map[string][]byte{"trusted_root.json": sigstore.TrustedRoot(t, signaturetest.RootOptions{})}),
				}
			},
			trusted: func(s *signing) func(string, string) { return s.byIdentity(sigstore, "release@example.com") },
			other: func(s *signing) func(string, string) {
				return s.byIdentity(sigstore, "release@example.com.evil.example")
			},
			signer: "release@example.com",
		},
		"notation": {
			verify: func(s *signing) *v1.ImageVerification {
				return &v1.ImageVerification{Provider: v1.VerifyNotation, SecretRef: s.secret("trust", map[string][]byte{
					"trustpolicy.json": signaturetest.TrustPolicy(t, "strict", "*"), "ca.crt": notary.PEM(),
				})}
			},
			trusted: func(s *signing) func(string, string) { return s.byNotary(notary) },
			other:   func(s *signing) func(string, string) { return s.byNotary(otherNotary) },
			signer:  "release",
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			s := newSigning(newFixture(t))
			sign, signByOther := sc.trusted(s), sc.other(s)
			signed := s.pushIndex("app", "1.0.0", "amd64", "arm64")
			sign(signed, signed)
			s.push("app", "1.1.0", "unsigned")
			untrusted := s.push("app", "1.2.0", "signed by another signer")
			signByOther(untrusted, untrusted)
			forged := s.push("app", "1.3.0", "with the signature of another image")
			sign(forged, signed)
			repo := s.repository("app")
			policy := s.policy("app", withGates(func(spec *v1.ImagePolicySpec) { spec.Verify = sc.verify(s) }))

			awaitReady(s.fixture, policy)
			expectRefs(s.fixture, policy, image.NewRef(s.image("app"), "1.0.0", signed), nil)
			s.Expect(candidates(policy)).To(Equal([]string{"1.3.0 Rejected verify", "1.2.0 Rejected verify", "1.1.0 Rejected verify", "1.0.0 Passed"}))
			verified := awaitCondition(s.fixture, policy, v1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, "1.0.0@"+signed)
			s.Expect(verified.Status.Candidates[3].Message).To(ContainSubstring(sc.signer))

			late := s.push("app", "2.0.0", "single-arch, signed after it was pushed")
			requestReconcile(s.fixture, repo)
			s.Eventually(func() []string { return candidates(refresh(s.fixture, policy)) }).Should(ContainElement("2.0.0 Rejected verify"))
			sign(late, late)
			requestReconcile(s.fixture, policy)
			s.Expect(awaitReady(s.fixture, policy).Status.LatestRef).To(Equal(image.NewRef(s.image("app"), "2.0.0", late)))
		})
	}
}

// TestVerify_ReportsInvalidKeys checks that missing and invalid keys are reported, keep the current
// image, and can be corrected.
func TestVerify_ReportsInvalidKeys(t *testing.T) {
	s := newSigning(newFixture(t))
	key := signaturetest.NewKey(t, "ecdsa")
	digest := s.push("app", "1.0.0", "signed")
	s.byKey(key)(digest, digest)
	s.repository("app")
	policy := s.policy("app", withReflection(v1.ReflectIfNotPresent))
	awaitReady(s.fixture, policy)

	edit(s.fixture, policy, withGates(func(spec *v1.ImagePolicySpec) {
		spec.Verify = &v1.ImageVerification{SecretRef: &meta.LocalObjectReference{Name: "keys"}}
	}))
	awaitNotReady(s.fixture, policy, v1.VerificationErrorReason, fmt.Sprintf("there is no Secret '%s/keys', which spec.verify.secretRef names", s.namespace))
	s.Expect(policy.Status.LatestRef.Digest).To(Equal(digest))

	s.secret("keys", map[string][]byte{"cosign.key": []byte("a private key, under another name")})
	awaitNotReady(s.fixture, policy, v1.VerificationErrorReason, "spec.verify can't be used with Secret '"+s.namespace+"/keys'")
	keys := &corev1.Secret{ObjectMeta: s.meta("keys")}
	edit(s.fixture, keys, func(secret *corev1.Secret) {
		secret.Data = map[string][]byte{"cosign.pub": signaturetest.NewKey(t, "ecdsa").PublicPEM(t)}
	})
	awaitNotReady(s.fixture, policy, v1.NoTagSelectedReason, "none of the 1 tags")
	awaitCondition(s.fixture, policy, v1.SourceVerifiedCondition, metav1.ConditionFalse, v1.VerificationErrorReason, "1.0.0@"+digest)
	s.Expect(policy.Status.LatestRef.Digest).To(Equal(digest), "the ref stays")

	edit(s.fixture, keys, func(secret *corev1.Secret) { secret.Data["new.pub"] = key.PublicPEM(t) })
	requestReconcile(s.fixture, policy)
	awaitReady(s.fixture, policy)
	awaitCondition(s.fixture, policy, v1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, digest)
}

// attest attaches a bundle with an attestation of an image, signed by a key, to another image or to
// the same. Registries of the suite have no referrers API, so one list contains all of them.
func (s *signing) attest(key signaturetest.Key, app, about, predicateType string, predicate any) signaturetest.Descriptor {
	bundle := key.Bundle(s.t, signaturetest.Attest(s.t, about, predicateType, predicate))
	return signaturetest.PushBundle(s.t, s.store, s.path(), s.describe(app), bundle, predicateType)
}

// TestAttestations_SelectOnlyAttestedImages checks that an image with the required attestations is
// selected in place of higher ones, and that the status tells the reasons apart.
func TestAttestations_SelectOnlyAttestedImages(t *testing.T) {
	s := newSigning(newFixture(t))
	key, other := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ecdsa")
	run := signaturetest.Workflow{Repository: "https://github.com/org/app", Path: ".github/workflows/release.yaml", Ref: "refs/heads/main"}
	branch := run
	branch.Ref = "refs/heads/fix"
	clean, critical := signaturetest.Scan(time.Now(), "LOW"), signaturetest.Scan(time.Now(), "CRITICAL")
	attested := func(tag string, by signaturetest.Key, built signaturetest.Workflow, scanned any) string {
		digest := s.push("app", tag, tag)
		signaturetest.PushReferrerTag(t, s.store, s.path(), digest,
			s.attest(by, digest, digest, signaturetest.ProvenancePredicate, built.Provenance()), s.attest(by, digest, digest, signaturetest.ScanPredicate, scanned))
		return digest
	}
	good := attested("1.0.0", key, run, clean)
	attested("1.1.0", key, branch, clean)
	attested("1.2.0", key, run, critical)
	attested("1.3.0", other, run, clean)
	replayed := s.push("app", "1.4.0", "with the attestation of another image")
	s.refer(replayed, s.attest(key, replayed, good, signaturetest.ProvenancePredicate, run.Provenance()))
	sbom := s.push("app", "1.5.0", "with another attestation")
	s.refer(sbom, s.attest(key, sbom, sbom, signaturetest.SBOMPredicate, nil))
	s.push("app", "1.6.0", "without an attestation")
	signed := s.push("app", "1.7.0", "signed, but not attested")
	s.byKey(key)(signed, signed)
	s.repository("app")
	policy := s.policy("app", withGates(func(spec *v1.ImagePolicySpec) {
		spec.Verify = &v1.ImageVerification{SecretRef: s.secret("keys", map[string][]byte{"release.pub": key.PublicPEM(t)}), Attestations: []v1.AttestationRequirement{
			{PredicateType: signaturetest.ProvenancePredicate, CEL: "predicate.buildDefinition.externalParameters.workflow.ref == 'refs/heads/main'"},
			{PredicateType: signaturetest.ScanPredicate, CEL: "now - timestamp(predicate.metadata.scanFinishedOn) < duration('168h') && " +
				"predicate.scanner.result.Results.all(r, !has(r.Vulnerabilities) || r.Vulnerabilities.all(v, v.Severity != 'CRITICAL'))"},
		}}
	}))

	awaitReady(s.fixture, policy)
	expectRefs(s.fixture, policy, image.NewRef(s.image("app"), "1.0.0", good), nil)
	const first, second = "is not verified: attestations[0] is not met: ", "is not verified: attestations[1] is not met: "
	const noProvenance, noPass = `it has no attestation with the predicateType "https://slsa.dev/provenance/v1"`, `no attestation with the predicateType "https://slsa.dev/provenance/v1" passes: `
	var messages []string
	for _, c := range refresh(s.fixture, policy).Status.Candidates {
		messages = append(messages, c.Tag+" "+c.Message)
	}
	s.Expect(messages).To(Equal([]string{
		"1.7.0 " + first + noProvenance,
		"1.6.0 " + first + noProvenance,
		"1.5.0 " + first + noProvenance + `, only with "https://spdx.dev/Document"`,
		"1.4.0 " + first + noPass + "the attestation is that of another image",
		"1.3.0 " + first + noPass + "none of the public keys made the signature",
		"1.2.0 " + second + `no attestation with the predicateType "https://cosign.sigstore.dev/attestation/vuln/v1" passes: cel is false`,
		"1.1.0 " + first + noPass + "cel is false",
		`1.0.0 signed by key "release.pub" ("https://slsa.dev/provenance/v1", "https://cosign.sigstore.dev/attestation/vuln/v1")`,
	}))
	awaitCondition(s.fixture, policy, v1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, `key "release.pub" ("https://slsa.dev/provenance/v1"`)
}

// TestExplain_ShowsAttestations checks the screen in the guide: an image without provenance, one that
// was built from another branch, and one that meets the policy.
func TestExplain_ShowsAttestations(t *testing.T) {
	s := newSigning(newFixture(t))
	key := signaturetest.NewKey(t, "ecdsa")
	run := signaturetest.Workflow{Repository: "https://github.com/org/app", Path: ".github/workflows/release.yaml"}
	for tag, ref := range map[string]string{"1.0.0": "refs/heads/main", "1.1.0": "refs/heads/fix"} {
		run.Ref = ref
		digest := s.push("app", tag, tag)
		s.refer(digest, s.attest(key, digest, digest, signaturetest.ProvenancePredicate, run.Provenance()))
	}
	s.push("app", "1.2.0", "1.2.0")
	s.repository("app")
	awaitReady(s.fixture, s.policy("app", withGates(func(spec *v1.ImagePolicySpec) {
		spec.Verify = &v1.ImageVerification{SecretRef: s.secret("keys", map[string][]byte{"release.pub": key.PublicPEM(t)}), Attestations: []v1.AttestationRequirement{
			{PredicateType: signaturetest.ProvenancePredicate, CEL: "predicate.buildDefinition.externalParameters.workflow.ref == 'refs/heads/main'"},
		}}
	})))
	s.checkScreens("gates.md")
}

// TestAttestations_StallOnInvalidExpression checks that an invalid expression stalls the policy,
// with its position, keeps the current image, and can be corrected.
func TestAttestations_StallOnInvalidExpression(t *testing.T) {
	s := newSigning(newFixture(t))
	key := signaturetest.NewKey(t, "ecdsa")
	digest := s.push("app", "1.0.0", "attested")
	s.refer(digest, s.attest(key, digest, digest, signaturetest.SBOMPredicate, map[string]any{"name": "app"}))
	s.repository("app")
	policy := s.policy("app", withGates(func(spec *v1.ImagePolicySpec) {
		spec.Verify = &v1.ImageVerification{SecretRef: s.secret("keys", map[string][]byte{"release.pub": key.PublicPEM(t)}),
			Attestations: []v1.AttestationRequirement{{PredicateType: signaturetest.SBOMPredicate, CEL: "predicate.name == 'app'"}}}
	}))
	awaitReady(s.fixture, policy)
	want := image.NewRef(s.image("app"), "1.0.0", digest)
	expectRefs(s.fixture, policy, want, nil)
	change := func(cel string) {
		edit(s.fixture, policy, func(p *v1.ImagePolicy) { p.Spec.Verify.Attestations[0].CEL = cel })
	}
	change("predicates.name == 'app'")
	awaitCondition(s.fixture, policy, meta.StalledCondition, metav1.ConditionTrue, v1.InvalidPolicyReason,
		"spec.verify.attestations[0].cel:1:1: undeclared reference to 'predicates': the variables are predicate, predicateType and now\n | predicates.name == 'app'\n | ^")
	expectRefs(s.fixture, policy, want, nil)
	change("predicate.name.startsWith('app')")
	awaitReady(s.fixture, policy)
	expectRefs(s.fixture, policy, want, nil)
}
