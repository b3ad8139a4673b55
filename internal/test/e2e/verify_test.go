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

// signing is a team that signs its images in the registry of the suite.
type signing struct {
	*scene
	store signaturetest.Remote
}

func newSigning(s *scene) *signing { return &signing{s, signaturetest.Remote(suite.registry.Host())} }

// path is the repository in the registry.
func (s *signing) path() string { return s.namespace + "/app" }

// secret creates a Secret.
func (s *signing) secret(name string, data map[string][]byte) *meta.LocalObjectReference {
	s.t.Helper()
	secret := &corev1.Secret{ObjectMeta: s.meta(name), Data: data}
	s.Expect(suite.api.Create(s.ctx, secret)).To(Succeed())
	return &meta.LocalObjectReference{Name: name}
}

// byKey, byIdentity and byNotary sign an image with a claim about another one, which
// is the same where nobody forges.
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

// refer lists a referrer as clients do where the registry does not.
func (s *signing) refer(app string, referrer signaturetest.Descriptor) {
	signaturetest.PushReferrerTag(s.t, s.store, s.path(), app, referrer)
}

// describe describes the manifest of a digest.
func (s *signing) describe(digest string) signaturetest.Descriptor {
	return s.store.Describe(s.t, s.path(), digest)
}

// TestVerify_SelectsOnlySignedImages tests for each way to sign that a signed image wins
// over newer ones that are not signed, or not by those who must, that a claim about
// another image is worth nothing, and that a signature which comes late still counts.
func TestVerify_SelectsOnlySignedImages(t *testing.T) {
	type way struct {
		verify func(s *signing) *v1.ImageVerification
		right  func(s *signing) func(app, claimed string)
		wrong  func(s *signing) func(app, claimed string)
		signer string
	}
	key, stranger := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ed25519")
	sigstore := signaturetest.NewSigstore(t)
	notary, otherNotary := signaturetest.NewNotary(t, signaturetest.Terms{Name: "release"}), signaturetest.NewNotary(t, signaturetest.Terms{Name: "other"})
	for name, w := range map[string]way{
		"cosign keys": {
			verify: func(s *signing) *v1.ImageVerification {
				keys := map[string][]byte{"old.pub": signaturetest.NewKey(t, "rsa").PublicPEM(t), "release.pub": key.PublicPEM(t), "readme": []byte("no key")}
				return &v1.ImageVerification{SecretRef: s.secret("keys", keys)}
			},
			right:  func(s *signing) func(string, string) { return s.byKey(key) },
			wrong:  func(s *signing) func(string, string) { return s.byKey(stranger) },
			signer: "release.pub",
		},
		"cosign keyless": {
			verify: func(s *signing) *v1.ImageVerification {
				return &v1.ImageVerification{
					MatchOIDCIdentity:    []v1.OIDCIdentityMatch{{Issuer: `^https://issuer\.example$`, Subject: `^release@example\.com$`}},
					TrustedRootSecretRef: s.secret("root", map[string][]byte{"trusted_root.json": sigstore.TrustedRoot(t, signaturetest.Parts{})}),
				}
			},
			right: func(s *signing) func(string, string) { return s.byIdentity(sigstore, "release@example.com") },
			wrong: func(s *signing) func(string, string) {
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
			right:  func(s *signing) func(string, string) { return s.byNotary(notary) },
			wrong:  func(s *signing) func(string, string) { return s.byNotary(otherNotary) },
			signer: "release",
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			s := newSigning(newScene(t))
			right, wrong := w.right(s), w.wrong(s)
			signed := s.pushIndex("app", "1.0.0", "amd64", "arm64")
			right(signed, signed)
			s.push("app", "1.1.0", "unsigned")
			byStranger := s.push("app", "1.2.0", "signed by a stranger")
			wrong(byStranger, byStranger)
			forged := s.push("app", "1.3.0", "with the claim about another image")
			right(forged, signed)
			repo := s.repository("app")
			policy := s.policy("app", gated(func(spec *v1.ImagePolicySpec) { spec.Verify = w.verify(s) }))

			ready(s.scene, policy)
			expectRefs(s.scene, policy, image.NewRef(s.image("app"), "1.0.0", signed), nil)
			s.Expect(candidates(policy)).To(Equal([]string{"1.3.0 Rejected verify", "1.2.0 Rejected verify", "1.1.0 Rejected verify", "1.0.0 Passed"}))
			verified := awaitCondition(s.scene, policy, v1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, "1.0.0@"+signed)
			s.Expect(verified.Status.Candidates[3].Message).To(ContainSubstring(w.signer))

			late := s.push("app", "2.0.0", "single-arch, signed after it was pushed")
			request(s.scene, repo)
			s.Eventually(func() []string { return candidates(refresh(s.scene, policy)) }).Should(ContainElement("2.0.0 Rejected verify"))
			right(late, late)
			request(s.scene, policy)
			s.Expect(ready(s.scene, policy).Status.LatestRef).To(Equal(image.NewRef(s.image("app"), "2.0.0", late)))
		})
	}
}

// TestVerify_ReportsInvalidKeys tests that mistakes about keys are told, lose nothing, and
// are over when they are corrected.
func TestVerify_ReportsInvalidKeys(t *testing.T) {
	s := newSigning(newScene(t))
	key := signaturetest.NewKey(t, "ecdsa")
	digest := s.push("app", "1.0.0", "signed")
	s.byKey(key)(digest, digest)
	s.repository("app")
	policy := s.policy("app", reflecting(v1.ReflectIfNotPresent))
	ready(s.scene, policy)

	edit(s.scene, policy, gated(func(spec *v1.ImagePolicySpec) {
		spec.Verify = &v1.ImageVerification{SecretRef: &meta.LocalObjectReference{Name: "keys"}}
	}))
	notReady(s.scene, policy, v1.VerificationErrorReason, fmt.Sprintf("there is no Secret '%s/keys', which spec.verify.secretRef names", s.namespace))
	s.Expect(policy.Status.LatestRef.Digest).To(Equal(digest))

	s.secret("keys", map[string][]byte{"cosign.key": []byte("a private one, under another name")})
	notReady(s.scene, policy, v1.VerificationErrorReason, "spec.verify can't be used with Secret '"+s.namespace+"/keys'")
	keys := &corev1.Secret{ObjectMeta: s.meta("keys")}
	edit(s.scene, keys, func(secret *corev1.Secret) {
		secret.Data = map[string][]byte{"cosign.pub": signaturetest.NewKey(t, "ecdsa").PublicPEM(t)}
	})
	notReady(s.scene, policy, v1.NoTagSelectedReason, "none of the 1 tags")
	awaitCondition(s.scene, policy, v1.SourceVerifiedCondition, metav1.ConditionFalse, v1.VerificationErrorReason, "1.0.0@"+digest)
	s.Expect(policy.Status.LatestRef.Digest).To(Equal(digest), "the ref stays")

	edit(s.scene, keys, func(secret *corev1.Secret) { secret.Data["new.pub"] = key.PublicPEM(t) })
	request(s.scene, policy)
	ready(s.scene, policy)
	awaitCondition(s.scene, policy, v1.SourceVerifiedCondition, metav1.ConditionTrue, meta.SucceededReason, digest)
}
