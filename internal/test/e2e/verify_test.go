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
