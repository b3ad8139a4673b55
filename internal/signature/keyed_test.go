// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"bytes"
	"crypto"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// TestKeyed_AcceptsSignatures tests signatures by keys of each kind in each format, and what
// they cost: the first one, and the next one of the same rule.
func TestKeyed_AcceptsSignatures(t *testing.T) {
	legacy := func(t *testing.T, s *scene, key signaturetest.Key) {
		s.pushSignatures(t, key.Sign(t, signaturetest.Payload(s.app.Digest)))
	}
	bundle := func(t *testing.T, s *scene, key signaturetest.Key) {
		s.pushBundle(t, key.Bundle(t, signaturetest.Statement(s.app.Digest, signaturetest.SignPredicate)))
	}
	tagged := func(t *testing.T, s *scene, key signaturetest.Key) {
		b := key.Bundle(t, signaturetest.Statement(s.app.Digest, signaturetest.SignPredicate))
		signaturetest.PushReferrerTag(t, s.reg, "app", s.app.Digest, s.pushBundle(t, b))
	}
	referring := func(t *testing.T, s *scene, key signaturetest.Key) {
		signaturetest.PushReferringSignatures(t, s.reg, "app", s.app, key.Sign(t, signaturetest.Payload(s.app.Digest)))
	}
	type counts = map[registrytest.Kind]int
	formats := map[string]struct {
		sign       func(*testing.T, *scene, signaturetest.Key)
		opts       []registrytest.Option
		cold, warm counts
	}{
		"Legacy": {sign: legacy, cold: counts{registrytest.ManifestGet: 1, registrytest.Blob: 1}, warm: counts{registrytest.ManifestGet: 1, registrytest.Blob: 1}},
		"Bundle": {
			sign: bundle, opts: []registrytest.Option{registrytest.WithReferrers()},
			cold: counts{registrytest.ManifestGet: 2, registrytest.Referrers: 1, registrytest.Blob: 1},
			warm: counts{registrytest.ManifestGet: 1, registrytest.Referrers: 1, registrytest.Blob: 1},
		},
		"LegacyReferrer": {
			sign: referring, opts: []registrytest.Option{registrytest.WithReferrers()},
			cold: counts{registrytest.ManifestGet: 2, registrytest.Referrers: 1, registrytest.Blob: 1},
			warm: counts{registrytest.ManifestGet: 1, registrytest.Referrers: 1, registrytest.Blob: 1},
		},
		"BundleByTag": {sign: tagged, cold: counts{registrytest.ManifestGet: 3, registrytest.Referrers: 1, registrytest.Blob: 1}, warm: counts{registrytest.ManifestGet: 2, registrytest.Blob: 1}},
	}
	for name, format := range formats {
		for _, kind := range []string{"ecdsa", "ecdsa384", "rsa", "ed25519", "ed25519ph"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				s, key := newScene(t, format.opts...), signaturetest.NewKey(t, kind)
				format.sign(t, s, key)
				v := s.verifier(t, keys(t, map[string]signaturetest.Key{"other.pub": signaturetest.NewKey(t, "ecdsa"), "team.pub": key}))
				for _, want := range []counts{format.cold, format.warm} {
					s.reg.Reset()
					NewWithT(t).Expect(s.verify(t, v)).To(HaveField("Signer()", `key "team.pub"`))
					NewWithT(t).Expect(s.reg.Counts()).To(BeComparableTo(want), "requests")
				}
			})
		}
	}
}

// TestKeyed_AcceptsLongerHashes tests keys whose curve is larger than SHA-256, with which
// newer versions of cosign use a longer hash.
func TestKeyed_AcceptsLongerHashes(t *testing.T) {
	s, key := newScene(t, registrytest.WithReferrers()), signaturetest.NewKey(t, "ecdsa384")
	s.pushBundle(t, key.BundleByHash(t, signaturetest.Statement(s.app.Digest, signaturetest.SignPredicate), crypto.SHA384))
	NewWithT(t).Expect(s.verify(t, s.verifier(t, keys(t, map[string]signaturetest.Key{"a.pub": key})))).To(HaveField("Passed()", BeTrue()))
}

// TestKeyed_RequiresOneValidSignature tests images that others signed too, and
// that one payload of several signatures is fetched once.
func TestKeyed_RequiresOneValidSignature(t *testing.T) {
	s, key := newScene(t), signaturetest.NewKey(t, "ecdsa")
	payload := signaturetest.Payload(s.app.Digest)
	s.pushSignatures(t,
		signaturetest.NewKey(t, "ecdsa").Sign(t, payload),
		signaturetest.Signature{Payload: payload, Raw: []byte("nonsense")},
		signaturetest.Signature{Payload: payload},
		key.Sign(t, payload))
	s.reg.Reset()
	NewWithT(t).Expect(s.verify(t, s.verifier(t, keys(t, map[string]signaturetest.Key{"a.pub": key})))).To(HaveField("Passed()", BeTrue()))
	NewWithT(t).Expect(s.reg.Count(registrytest.Blob)).To(Equal(1), "the payload was fetched")
}

// TestLegacy_RejectsAttacks tests legacy signatures that must not let the image pass.
func TestLegacy_RejectsAttacks(t *testing.T) {
	key, wrong := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ecdsa")
	cases := map[string]attack{
		"None":     {reason: "nobody signed", attack: func(*testing.T, *scene) {}, want: "it has no cosign signature"},
		"WrongKey": {reason: "someone else signed", attack: func(t *testing.T, s *scene) { s.pushSignatures(t, wrong.Sign(t, signaturetest.Payload(s.app.Digest))) }, want: "none of the public keys"},
		"Tampered": {reason: "the payload of another signature", want: "none of the public keys", attack: func(t *testing.T, s *scene) {
			signature := key.Sign(t, signaturetest.Payload(s.other.Digest))
			signature.Payload = signaturetest.Payload(s.app.Digest)
			s.pushSignatures(t, signature)
		}},
		"Replayed": {reason: "the signature of another image under this one's tag", want: "of another image", attack: func(t *testing.T, s *scene) {
			signaturetest.PushSignatures(t, s.reg, "app", s.other.Digest, key.Sign(t, signaturetest.Payload(s.other.Digest)))
			s.reg.Retag(t, "app", signaturetest.SignatureTag(s.other.Digest), signaturetest.SignatureTag(s.app.Digest))
		}},
		"OtherType": {reason: "a claim of another kind about the image", want: "no claim about an image", attack: func(t *testing.T, s *scene) {
			s.pushSignatures(t, key.Sign(t, bytes.Replace(signaturetest.Payload(s.app.Digest), []byte("cosign container image"), []byte("another"), 1)))
		}},
		"NoClaim":    {reason: "anything that the key signed", want: "is malformed", attack: func(t *testing.T, s *scene) { s.pushSignatures(t, key.Sign(t, []byte("a release note"))) }},
		"NullClaim":  {reason: "JSON that says nothing", want: "no claim about an image", attack: func(t *testing.T, s *scene) { s.pushSignatures(t, key.Sign(t, []byte("null"))) }},
		"EmptyClaim": {reason: "the signature of nothing", want: "is malformed", attack: func(t *testing.T, s *scene) { s.pushSignatures(t, key.Sign(t, []byte(" "))) }},
		"MediaType": {reason: "a layer that is no signature", want: "no signature of cosign", attack: func(t *testing.T, s *scene) {
			signature := key.Sign(t, signaturetest.Payload(s.app.Digest))
			signature.MediaType = "application/octet-stream"
			s.pushSignatures(t, signature)
		}},
		"NoLayers": {reason: "a signature tag without signatures", want: "no signature of cosign", attack: func(t *testing.T, s *scene) { s.pushSignatures(t) }},
		"Index": {reason: "a signature tag that holds an index", want: "no signature of cosign", attack: func(t *testing.T, s *scene) {
			s.reg.PushManifest(t, "app", signaturetest.SignatureTag(s.app.Digest), signaturetest.IndexType, []byte(`{"schemaVersion":2,"manifests":[]}`))
		}},
		"Malformed": {reason: "layers of another type", want: "is malformed", attack: func(t *testing.T, s *scene) {
			s.pushRaw(t, `{"schemaVersion":2,"layers":[1]}`)
		}},
		"BadDigest": {reason: "a digest that is an address", want: "digest that is malformed", attack: func(t *testing.T, s *scene) {
			s.pushRaw(t, `{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"../../x","size":1,"annotations":{"dev.cosignproject.cosign/signature":"YQ=="}}]}`)
		}},
		"Giant": {reason: "a payload that fills the memory", want: "more than the 1048576 bytes", attack: func(t *testing.T, s *scene) {
			s.pushRaw(t, `{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"`+s.app.Digest+`","size":99999999999,"annotations":{"dev.cosignproject.cosign/signature":"YQ=="}}]}`)
		}},
		"Hundreds": {reason: "more signatures than anyone looks at", want: "more than the 32 signatures", attack: func(t *testing.T, s *scene) {
			signatures := make([]signaturetest.Signature, 300)
			for i := range signatures {
				signatures[i] = wrong.Sign(t, signaturetest.Payload(s.app.Digest))
			}
			s.pushSignatures(t, signatures...)
		}},
	}
	checkAttacks(t, cases, keys(t, map[string]signaturetest.Key{"a.pub": key}), 3)
}

// pushRaw pushes the text of a manifest under the signature tag.
func (s *scene) pushRaw(t *testing.T, manifest string) {
	t.Helper()
	s.reg.PushManifest(t, "app", signaturetest.SignatureTag(s.app.Digest), signaturetest.ManifestType, []byte(manifest))
}

// TestBundle_RejectsAttacks tests bundles that must not let the image pass.
func TestBundle_RejectsAttacks(t *testing.T) {
	key, wrong, edwards := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ed25519")
	const bundleType = signaturetest.BundleType
	cases := map[string]attack{
		"WrongKey":   {reason: "someone else signed", want: "none of the public keys", attack: func(t *testing.T, s *scene) { s.pushBundle(t, wrong.Bundle(t, statement(s.app))) }},
		"OtherImage": {reason: "the bundle of another image", want: "of another image", attack: func(t *testing.T, s *scene) { s.pushBundle(t, key.Bundle(t, statement(s.other))) }},
		"NoSubject": {reason: "a statement about nothing", want: "another image", attack: func(t *testing.T, s *scene) {
			s.pushBundle(t, key.Bundle(t, []byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://sigstore.dev/cosign/sign/v1"}`)))
		}},
		"Attestation": {reason: "what is stated may be bad", want: "attested, not signed", attack: func(t *testing.T, s *scene) {
			s.pushBundle(t, key.Bundle(t, signaturetest.Statement(s.app.Digest, "https://example.com/test-failed/v1")))
		}},
		"ToldAttestation": {reason: "a list that tells what is stated spares the look at it", want: "attested, not signed", attack: func(t *testing.T, s *scene) {
			const failed = "https://example.com/test-failed/v1"
			signaturetest.PushBundle(t, s.reg, "app", s.app, key.Bundle(t, signaturetest.Statement(s.app.Digest, failed)), failed)
		}},
		"ReferringLegacy": {reason: "a legacy signature of another image", want: "of another image", attack: func(t *testing.T, s *scene) {
			signaturetest.PushReferringSignatures(t, s.reg, "app", s.app, key.Sign(t, signaturetest.Payload(s.other.Digest)))
		}},
		"ReferringLegacyWrongKey": {reason: "someone else made the legacy signature", want: "none of the public keys", attack: func(t *testing.T, s *scene) {
			signaturetest.PushReferringSignatures(t, s.reg, "app", s.app, wrong.Sign(t, signaturetest.Payload(s.app.Digest)))
		}},
		"ReferringLegacyElsewhere": {reason: "a list may name a legacy signature that refers to something else", want: "of another image", attack: func(t *testing.T, s *scene) {
			s.list(t, signaturetest.PushReferringSignatures(t, s.reg, "app", s.other, key.Sign(t, signaturetest.Payload(s.app.Digest))))
		}},
		"ReferringLegacyHundreds": {reason: "more legacy signatures than anyone looks at", want: "more than the 32 signatures", attack: func(t *testing.T, s *scene) {
			for range 20 {
				signature := wrong.Sign(t, signaturetest.Payload(s.app.Digest))
				signaturetest.PushReferringSignatures(t, s.reg, "app", s.app, signature, signature)
			}
		}},
		"Message": {reason: "a signature of a file", want: "holds no statement", attack: func(t *testing.T, s *scene) {
			s.pushBundle(t, key.MessageBundle(t, s.reg.Manifest(t, "app", s.app.Digest), sumOf(s.app)))
		}},
		"EmptyMessage": {reason: "Ed25519 can't verify by a digest", want: "holds no statement", attack: func(t *testing.T, s *scene) { s.pushBundle(t, edwards.MessageBundle(t, nil, sumOf(s.app))) }},
		"Tampered": {reason: "the statement of another signature", want: "none of the public keys", attack: func(t *testing.T, s *scene) {
			donor := key.Bundle(t, statement(s.other))
			s.pushBundle(t, signaturetest.Change(t, key.Bundle(t, statement(s.app)), func(b map[string]any) {
				b["dsseEnvelope"].(map[string]any)["signatures"] = parse(t, donor)["dsseEnvelope"].(map[string]any)["signatures"]
			}))
		}},
		"TwoSignatures": {reason: "which of them counts", want: "none of the public keys", attack: func(t *testing.T, s *scene) {
			s.pushBundle(t, signaturetest.Change(t, key.Bundle(t, statement(s.app)), func(b map[string]any) {
				envelope := b["dsseEnvelope"].(map[string]any)
				envelope["signatures"] = append(envelope["signatures"].([]any), envelope["signatures"].([]any)...)
			}))
		}},
		"PayloadType": {reason: "the same bytes as something else", want: "none of the public keys", attack: func(t *testing.T, s *scene) {
			s.pushBundle(t, signaturetest.Change(t, key.Bundle(t, statement(s.app)), func(b map[string]any) {
				b["dsseEnvelope"].(map[string]any)["payloadType"] = "text/plain"
			}))
		}},
		"Version": {reason: "a version of the future", want: "unknown version", attack: func(t *testing.T, s *scene) {
			s.pushBundle(t, bytes.ReplaceAll(key.Bundle(t, statement(s.app)), []byte("bundle.v0.3"), []byte("bundle.v9.9")))
		}},
		"Malformed": {reason: "no JSON", want: "is malformed", attack: func(t *testing.T, s *scene) { s.pushBundle(t, []byte("{")) }},
		"Giant":     {reason: "a bundle that fills the memory", want: "more than the 1048576 bytes", attack: func(t *testing.T, s *scene) { s.pushBundle(t, bytes.Repeat([]byte(" "), maxBlob+1)) }},
		"ForeignReferrer": {reason: "a list may name what refers to something else", want: "of another image", attack: func(t *testing.T, s *scene) {
			foreign := signaturetest.PushBundle(t, s.reg, "app", s.other, key.Bundle(t, statement(s.other)), signaturetest.SignPredicate)
			s.list(t, foreign)
		}},
		"NoReferrer": {reason: "a list may name what refers to nothing", want: "of another image", attack: func(t *testing.T, s *scene) {
			s.list(t, signaturetest.PushReferrer(t, s.reg, "app", signaturetest.Manifest{ArtifactType: bundleType, Config: signaturetest.Descriptor{MediaType: bundleType}}))
		}},
		"MediaType": {reason: "a layer that is no bundle", want: "is no signature", attack: func(t *testing.T, s *scene) {
			bundle := key.Bundle(t, statement(s.app))
			signaturetest.PushReferrer(t, s.reg, "app", signaturetest.Manifest{
				ArtifactType: bundleType, Config: signaturetest.Descriptor{MediaType: bundleType}, Subject: &s.app,
				Layers: []signaturetest.Descriptor{{MediaType: "text/plain", Digest: s.reg.PushBlob(t, "app", bundle), Size: len(bundle)}},
			})
		}},
		"BadDigest": {reason: "a digest that is an address", want: "digest that is malformed", attack: func(t *testing.T, s *scene) {
			s.reg.Inject(registrytest.Referrers, registrytest.Body(signaturetest.IndexType, `{"schemaVersion":2,"manifests":[{"digest":"../../x"}]}`))
		}},
		"Unrelated": {reason: "what refers to it is none", want: "it has no cosign signature", attack: func(t *testing.T, s *scene) {
			signaturetest.PushReferrer(t, s.reg, "app", signaturetest.Manifest{Config: signaturetest.Descriptor{MediaType: "application/sbom"}, Subject: &s.app})
		}},
		"Hundreds": {reason: "more bundles than anyone looks at", want: "more than the 32 signatures", attack: func(t *testing.T, s *scene) {
			for range 40 {
				s.pushBundle(t, wrong.Bundle(t, statement(s.app)))
			}
		}},
	}
	checkAttacks(t, cases, keys(t, map[string]signaturetest.Key{"a.pub": key, "b.pub": edwards}), 2+2*maxSignatures)
}
