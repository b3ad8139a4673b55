// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// The reasons for which a candidate is rejected.
const (
	unsigned    = " Rejected: is not verified: it has no cosign signature"
	byAnother   = " Rejected: is not verified: no cosign signature passes: none of the public keys made the signature"
	ofAnother   = " Rejected: is not verified: no cosign signature passes: the signature is that of another image"
	attested    = " Rejected: is not verified: no cosign signature passes: it is attested, not signed: use cosign sign"
	malformed   = " Rejected: is not verified: no cosign signature passes: its bundle is malformed, or of an unknown version"
	noSignature = " Rejected: is not verified: no cosign signature passes: what refers to it is no signature"
)

// TestKeySignature_Passes stands for a signature of a format that a version of
// the CLI writes and the controller does not read: bundles and legacy signatures,
// by cosign 3 and by cosign 2, listed by a tag and by the API for referrers, and one
// beside the other.
func TestKeySignature_Passes(t *testing.T) {
	withEachWay(t, func(s *team, w way) {
		s.newKey("release")
		s.push("1.0.0")
		digest := s.push("1.1.0")
		w.sign(s, "release", digest)
		s.selects("release", "1.1.0", digest)
	})
	for _, w := range ways {
		t.Run("by the API for referrers/"+w.cli.version(t)+"/"+w.name, func(t *testing.T) {
			t.Parallel()
			s := newTeam(t).withReferrers()
			s.newKey("release")
			digest := s.push("1.0.0")
			w.sign(s, "release", digest)
			s.push("1.1.0")
			s.selects("release", "1.0.0", digest, "1.1.0"+unsigned)
		})
	}
	t.Run("both formats", func(t *testing.T) {
		t.Parallel()
		s := newTeam(t)
		s.newKey("release")
		s.newKey("former")
		digest := s.push("1.0.0")
		legacyBy3.sign(s, "former", digest)
		bundleBy3.sign(s, "release", digest)
		s.selects("release", "1.0.0", digest)
	})
}

// TestKeySignature_SupportsOtherKeyTypes stands for a signature by a hash or an encoding that
// the controller does not expect of a kind of key: longer curves, RSA, and Ed25519.
func TestKeySignature_SupportsOtherKeyTypes(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		make   func() (crypto.PrivateKey, error)
	}{
		"P-384": {
			reason: "cosign hashes by the size of the curve in one format, and by SHA-256 in the other",
			make:   func() (crypto.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		},
		"P-521": {reason: "the longest curve has the longest hash", make: func() (crypto.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) }},
		"RSA":   {reason: "RSA has two paddings, of which cosign uses that of PKCS #1", make: func() (crypto.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) }},
		"Ed25519": {
			reason: "Ed25519 signs a message or its hash",
			make: func() (crypto.PrivateKey, error) {
				_, key, err := ed25519.GenerateKey(rand.Reader)
				return key, err
			},
		},
	} {
		for _, w := range []way{bundleBy3, legacyBy3, legacyBy2, bundleBy2} {
			t.Run(w.cli.version(t)+"/"+w.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := newTeam(t)
				key, err := tc.make()
				s.Expect(err).NotTo(HaveOccurred(), tc.reason)
				s.importKey("release", key)
				digest := s.push("1.0.0")
				w.sign(s, "release", digest)
				s.selects("release", "1.0.0", digest)
			})
		}
	}
}

// TestRecursiveSignature_CoversIndexAndImages stands for a signature that is
// looked for at the wrong level of an index: the index itself, each image of it,
// and an image of an index of which the index alone is signed.
func TestRecursiveSignature_CoversIndexAndImages(t *testing.T) {
	withEachWay(t, func(s *team, w way) {
		s.newKey("release")
		signed := s.pushIndex("1.0.0")
		w.sign(s, "release", signed.digest, "--recursive")
		s.retag(signed.images[0], "1.0.1")
		s.retag(signed.images[1], "1.0.2")
		flat := s.pushIndex("1.0.3")
		w.sign(s, "release", flat.digest)
		s.retag(flat.images[0], "1.0.4")

		policy := s.selects("release", "1.0.3", flat.digest, "1.0.4"+unsigned)
		for tag, digest := range map[string]string{"1.0.0": signed.digest, "1.0.1": signed.images[0], "1.0.2": signed.images[1]} {
			s.only(policy, tag, metav1.ConditionTrue, meta.SucceededReason)
			s.Expect(policy.Status.LatestRef).To(HaveValue(HaveField("Digest", digest)), tag)
		}
	})
}

// TestUnsignedImage_IsRejected stands for a rejection of which users are not
// told: where an older image is selected, and where there is none.
func TestUnsignedImage_IsRejected(t *testing.T) {
	withEachWay(t, func(s *team, w way) {
		s.newKey("release")
		digest := s.push("1.0.0")
		w.sign(s, "release", digest)
		s.push("1.1.0")
		policy := s.selects("release", "1.0.0", digest, "1.1.0"+unsigned)
		s.Eventually(func() []string { return s.events(policy) }).Should(ContainElement(ContainSubstring("resolved to 1.0.0@" + digest)))
		s.Expect(s.explain(policy)).To(And(
			ContainSubstring("1.1.0  rejected by spec.verify: is not verified: it has no cosign signature"),
			MatchRegexp(`Selected +1\.0\.0`)))

		s.only(policy, "1.1.0", metav1.ConditionFalse, v1.NoTagSelectedReason)
		s.Expect(s.condition(policy, meta.ReadyCondition)).To(And(
			HavePrefix("False "+v1.NoTagSelectedReason), HaveSuffix(strings.TrimPrefix(unsigned, " Rejected: "))))
		s.Expect(s.condition(policy, v1.SourceVerifiedCondition)).To(HavePrefix("False " + v1.VerificationErrorReason + " 1.1.0@"))
		s.Eventually(func() []string { return s.events(policy) }).Should(ContainElement(
			And(HavePrefix("Warning "), ContainSubstring("1.1.0"), ContainSubstring("it has no cosign signature"))))
		s.Expect(s.explain(policy)).To(ContainSubstring("it has no cosign signature"))
	})
}

// TestSignatureByAnotherKey_IsRejected stands for a signature that counts because
// there is one: by another key alone, and by another key beside the right one.
func TestSignatureByAnotherKey_IsRejected(t *testing.T) {
	withEachWay(t, func(s *team, w way) {
		s.newKey("release")
		s.newKey("stranger")
		both := s.push("1.0.0")
		w.sign(s, "stranger", both)
		w.sign(s, "release", both)
		w.sign(s, "stranger", s.push("1.1.0"))
		s.selects("release", "1.0.0", both, "1.1.0"+byAnother)
	})
}

// TestSignatureOfAnotherImage_IsRejected stands for a signature that is genuine, and
// was brought to an image that it does not name: by its tag, by the list of
// referrers, and by a CLI that has it refer to the image.
func TestSignatureOfAnotherImage_IsRejected(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		way    way
		copied func(s *team, from, to string)
	}{
		"signature tag": {
			reason: "the tag of a legacy signature is not signed, the payload names the image",
			way:    legacyBy2,
			copied: func(s *team, from, to string) { s.retag(tagOf(from)+".sig", tagOf(to)+".sig") },
		},
		"attached signature": {
			reason: "cosign attaches a signature without a look at what it names",
			way:    legacyBy2,
			copied: func(s *team, from, to string) {
				s.signedFiles(from)
				s.run(cosignV2, "attach", "signature", "--allow-http-registry", "--signature=signature", "--payload=payload", s.image()+"@"+to)
			},
		},
		"referrers tag": {
			reason: "the list of referrers is not signed, and the subject of the referrer is another image",
			way:    bundleBy3,
			copied: func(s *team, from, to string) { s.retag(tagOf(from), tagOf(to)) },
		},
		"attached bundle": {
			reason: "the subject of a referrer is not signed, the statement names the image",
			way:    bundleBy3,
			copied: func(s *team, from, to string) {
				bundleBy3.sign(s, "release", from, "--bundle=bundle.json")
				s.attach(to, bundleType, "bundle.json:"+bundleType)
			},
		},
	} {
		t.Run(tc.way.cli.version(t)+"/"+name, func(t *testing.T) {
			t.Parallel()
			s := newTeam(t)
			s.newKey("release")
			signed, other := s.push("1.0.0"), s.push("1.1.0")
			tc.way.sign(s, "release", signed)
			tc.copied(s, signed, other)
			t.Log(tc.reason)
			s.selects("release", "1.0.0", signed, "1.1.0"+ofAnother)
		})
	}
}

// TestAttachedArtifact_IsNotASignature stands for an artifact that passes for a
// signature, or keeps one from being found: one of another type, one that calls
// itself a bundle and is none, and an attestation by the right key.
func TestAttachedArtifact_IsNotASignature(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		cli    *program
		attach func(s *team, digest string)
		want   string
	}{
		"SBOM": {
			reason: "its type is not that of a bundle, so it is not looked at",
			cli:    oras, want: unsigned,
			attach: func(s *team, digest string) { s.attach(digest, "application/spdx+json", "sbom.json") },
		},
		"bundle by its artifact type alone": {
			reason: "the layer says what an artifact holds",
			cli:    oras, want: noSignature,
			attach: func(s *team, digest string) { s.attach(digest, bundleType, "sbom.json:application/spdx+json") },
		},
		"no bundle in spite of its types": {
			reason: "whoever may push can give an artifact any type",
			cli:    oras, want: malformed,
			attach: func(s *team, digest string) { s.attach(digest, bundleType, "sbom.json:"+bundleType) },
		},
		"attestation": {reason: "what the right key states of an image need not be in its favour", cli: cosign, want: attested, attach: func(s *team, digest string) { s.attest(digest) }},
	} {
		t.Run(tc.cli.version(t)+"/"+name, func(t *testing.T) {
			t.Parallel()
			s := newTeam(t)
			s.newKey("release")
			s.write("sbom.json", "{}")
			before, after, never := s.push("1.0.0"), s.push("1.0.1"), s.push("1.1.0")
			for _, digest := range []string{before, never} {
				tc.attach(s, digest)
			}
			bundleBy3.sign(s, "release", before)
			bundleBy3.sign(s, "release", after)
			tc.attach(s, after)
			policy := s.selects("release", "1.0.1", after, "1.1.0"+tc.want)
			s.only(policy, "1.0.0", metav1.ConditionTrue, meta.SucceededReason)
			s.Expect(policy.Status.LatestRef).To(HaveValue(HaveField("Digest", before)), tc.reason)
		})
	}
}
