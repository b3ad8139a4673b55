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

// Verdicts of rejected candidates.
const (
	unsigned    = " Rejected: is not verified: it has no cosign signature"
	otherKey    = " Rejected: is not verified: no cosign signature passes: none of the public keys made the signature"
	otherImage  = " Rejected: is not verified: no cosign signature passes: the signature is that of another image"
	attested    = " Rejected: is not verified: no cosign signature passes: it is attested, not signed: use cosign sign"
	malformed   = " Rejected: is not verified: no cosign signature passes: its bundle is malformed, or of an unknown version"
	noSignature = " Rejected: is not verified: no cosign signature passes: its referrer has no signature, or more than one"
)

// TestKeySignature_Passes tests every format that the CLI writes: bundles and legacy signatures, by
// cosign 3 and cosign 2, listed by a tag and by the referrers API, and both formats on one image.
func TestKeySignature_Passes(t *testing.T) {
	withEachFormat(t, func(fx *fixture, f format) {
		fx.newKey("release")
		fx.push("1.0.0")
		digest := fx.push("1.1.0")
		f.sign(fx, "release", digest)
		fx.expectSelected("release", "1.1.0", digest)
	})
	for _, f := range formats {
		t.Run("referrers API/"+f.cli.version(t)+"/"+f.name, func(t *testing.T) {
			t.Parallel()
			fx := newFixture(t).withReferrers()
			fx.newKey("release")
			digest := fx.push("1.0.0")
			f.sign(fx, "release", digest)
			fx.push("1.1.0")
			fx.expectSelected("release", "1.0.0", digest, "1.1.0"+unsigned)
		})
	}
	t.Run("both formats", func(t *testing.T) {
		t.Parallel()
		fx := newFixture(t)
		fx.newKey("release")
		fx.newKey("former")
		digest := fx.push("1.0.0")
		legacyBy3.sign(fx, "former", digest)
		bundleBy3.sign(fx, "release", digest)
		fx.expectSelected("release", "1.0.0", digest)
	})
}

// TestKeySignature_SupportsOtherKeyTypes tests keys whose signatures use another hash or encoding:
// longer curves, RSA and Ed25519.
func TestKeySignature_SupportsOtherKeyTypes(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		make   func() (crypto.PrivateKey, error)
	}{
		"P-384": {
			reason: "the hash depends on the size of the curve in one format, and is SHA-256 in the other",
			make:   func() (crypto.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		},
		"P-521": {reason: "the longest curve has the longest hash", make: func() (crypto.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) }},
		"RSA":   {reason: "of the two paddings of RSA, cosign uses that of PKCS #1", make: func() (crypto.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) }},
		"Ed25519": {
			reason: "Ed25519 signs the message or its hash",
			make: func() (crypto.PrivateKey, error) {
				_, key, err := ed25519.GenerateKey(rand.Reader)
				return key, err
			},
		},
	} {
		for _, f := range []format{bundleBy3, legacyBy3, legacyBy2, bundleBy2} {
			t.Run(f.cli.version(t)+"/"+f.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				fx := newFixture(t)
				key, err := tc.make()
				fx.Expect(err).NotTo(HaveOccurred(), tc.reason)
				fx.importKey("release", key)
				digest := fx.push("1.0.0")
				f.sign(fx, "release", digest)
				fx.expectSelected("release", "1.0.0", digest)
			})
		}
	}
}

// TestRecursiveSignature_CoversIndexAndImages tests that signatures are read at the right level of
// an index: of the index, of each of its images, and of an image of which only the index is signed.
func TestRecursiveSignature_CoversIndexAndImages(t *testing.T) {
	withEachFormat(t, func(fx *fixture, f format) {
		fx.newKey("release")
		signed := fx.pushIndex("1.0.0")
		f.sign(fx, "release", signed.digest, "--recursive")
		fx.retag(signed.images[0], "1.0.1")
		fx.retag(signed.images[1], "1.0.2")
		flat := fx.pushIndex("1.0.3")
		f.sign(fx, "release", flat.digest)
		fx.retag(flat.images[0], "1.0.4")

		policy := fx.expectSelected("release", "1.0.3", flat.digest, "1.0.4"+unsigned)
		for tag, digest := range map[string]string{"1.0.0": signed.digest, "1.0.1": signed.images[0], "1.0.2": signed.images[1]} {
			fx.only(policy, tag, metav1.ConditionTrue, meta.SucceededReason)
			fx.Expect(policy.Status.LatestRef).To(HaveValue(HaveField("Digest", digest)), tag)
		}
	})
}

// TestUnsignedImage_IsRejected tests that the rejection is reported, if an older image is selected
// and if there is none.
func TestUnsignedImage_IsRejected(t *testing.T) {
	withEachFormat(t, func(fx *fixture, f format) {
		fx.newKey("release")
		digest := fx.push("1.0.0")
		f.sign(fx, "release", digest)
		fx.push("1.1.0")
		policy := fx.expectSelected("release", "1.0.0", digest, "1.1.0"+unsigned)
		fx.Eventually(func() []string { return fx.events(policy) }).Should(ContainElement(ContainSubstring("resolved to 1.0.0@" + digest)))
		fx.Expect(fx.explain(policy)).To(And(
			ContainSubstring("1.1.0  rejected by spec.verify: is not verified: it has no cosign signature"),
			MatchRegexp(`Selected +1\.0\.0`)))

		fx.only(policy, "1.1.0", metav1.ConditionFalse, v1.NoTagSelectedReason)
		fx.Expect(fx.condition(policy, meta.ReadyCondition)).To(And(
			HavePrefix("False "+v1.NoTagSelectedReason), HaveSuffix(strings.TrimPrefix(unsigned, " Rejected: "))))
		fx.Expect(fx.condition(policy, v1.SourceVerifiedCondition)).To(HavePrefix("False " + v1.VerificationErrorReason + " 1.1.0@"))
		fx.Eventually(func() []string { return fx.events(policy) }).Should(ContainElement(
			And(HavePrefix("Warning "), ContainSubstring("1.1.0"), ContainSubstring("it has no cosign signature"))))
		fx.Expect(fx.explain(policy)).To(ContainSubstring("it has no cosign signature"))
	})
}

// TestSignatureByAnotherKey_IsRejected tests a signature by another key, alone and next to one by
// the right key.
func TestSignatureByAnotherKey_IsRejected(t *testing.T) {
	withEachFormat(t, func(fx *fixture, f format) {
		fx.newKey("release")
		fx.newKey("stranger")
		both := fx.push("1.0.0")
		f.sign(fx, "stranger", both)
		f.sign(fx, "release", both)
		f.sign(fx, "stranger", fx.push("1.1.0"))
		fx.expectSelected("release", "1.0.0", both, "1.1.0"+otherKey)
	})
}

// TestSignatureOfAnotherImage_IsRejected tests a valid signature that was copied to another image:
// by its tag, by the list of referrers, and by a CLI that attaches it to the image.
func TestSignatureOfAnotherImage_IsRejected(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		format format
		copy   func(fx *fixture, from, to string)
	}{
		"signature tag": {
			reason: "the tag of a legacy signature is not signed, but the payload names the image",
			format: legacyBy2,
			copy:   func(fx *fixture, from, to string) { fx.retag(tagPrefixOf(from)+".sig", tagPrefixOf(to)+".sig") },
		},
		"attached signature": {
			reason: "cosign attaches a signature without checking which image it names",
			format: legacyBy2,
			copy: func(fx *fixture, from, to string) {
				fx.writeSignedFiles(from)
				fx.run(cosignV2, "attach", "signature", "--allow-http-registry", "--signature=signature", "--payload=payload", fx.image()+"@"+to)
			},
		},
		"referrers tag": {
			reason: "the list of referrers is not signed, but the subject of the referrer is another image",
			format: bundleBy3,
			copy:   func(fx *fixture, from, to string) { fx.retag(tagPrefixOf(from), tagPrefixOf(to)) },
		},
		"attached bundle": {
			reason: "the subject of a referrer is not signed, but the statement names the image",
			format: bundleBy3,
			copy: func(fx *fixture, from, to string) {
				bundleBy3.sign(fx, "release", from, "--bundle=bundle.json")
				fx.attach(to, bundleType, "bundle.json:"+bundleType)
			},
		},
	} {
		t.Run(tc.format.cli.version(t)+"/"+name, func(t *testing.T) {
			t.Parallel()
			fx := newFixture(t)
			fx.newKey("release")
			signed, other := fx.push("1.0.0"), fx.push("1.1.0")
			tc.format.sign(fx, "release", signed)
			tc.copy(fx, signed, other)
			t.Log(tc.reason)
			fx.expectSelected("release", "1.0.0", signed, "1.1.0"+otherImage)
		})
	}
}

// TestAttachedArtifact_IsNotASignature tests artifacts that must neither count as a signature nor
// hide one: of another type, with the type of a bundle but other content, and an attestation by the
// right key.
func TestAttachedArtifact_IsNotASignature(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		cli    *program
		attach func(fx *fixture, digest string)
		want   string
	}{
		"SBOM": {
			reason: "its type is not that of a bundle, so it is ignored",
			cli:    oras, want: unsigned,
			attach: func(fx *fixture, digest string) { fx.attach(digest, "application/spdx+json", "sbom.json") },
		},
		"artifact type of a bundle": {
			reason: "the type of the layer determines the content",
			cli:    oras, want: noSignature,
			attach: func(fx *fixture, digest string) { fx.attach(digest, bundleType, "sbom.json:application/spdx+json") },
		},
		"types of a bundle": {
			reason: "users who may push can give an artifact any type",
			cli:    oras, want: malformed,
			attach: func(fx *fixture, digest string) { fx.attach(digest, bundleType, "sbom.json:"+bundleType) },
		},
		"attestation": {reason: "an attestation by the right key is not an approval", cli: cosign, want: attested, attach: func(fx *fixture, digest string) { fx.attest(digest) }},
	} {
		t.Run(tc.cli.version(t)+"/"+name, func(t *testing.T) {
			t.Parallel()
			fx := newFixture(t)
			fx.newKey("release")
			fx.write("sbom.json", "{}")
			signedLast, signedFirst, unsignedImage := fx.push("1.0.0"), fx.push("1.0.1"), fx.push("1.1.0")
			for _, digest := range []string{signedLast, unsignedImage} {
				tc.attach(fx, digest)
			}
			bundleBy3.sign(fx, "release", signedLast)
			bundleBy3.sign(fx, "release", signedFirst)
			tc.attach(fx, signedFirst)
			policy := fx.expectSelected("release", "1.0.1", signedFirst, "1.1.0"+tc.want)
			fx.only(policy, "1.0.0", metav1.ConditionTrue, meta.SucceededReason)
			fx.Expect(policy.Status.LatestRef).To(HaveValue(HaveField("Digest", signedLast)), tc.reason)
		})
	}
}
