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

// TestKeyed_AcceptsSignatures tests signatures by keys of each kind in each format, and
// their requests: for the first verification, and for the next one with the same rule.
func TestKeyed_AcceptsSignatures(t *testing.T) {
	legacy := func(t *testing.T, f *fixture, key signaturetest.Key) {
		f.pushSignatures(t, key.Sign(t, signaturetest.Payload(f.app.Digest)))
	}
	bundle := func(t *testing.T, f *fixture, key signaturetest.Key) {
		f.pushBundle(t, key.Bundle(t, signaturetest.Statement(f.app.Digest, signaturetest.SignPredicate)))
	}
	tagged := func(t *testing.T, f *fixture, key signaturetest.Key) {
		b := key.Bundle(t, signaturetest.Statement(f.app.Digest, signaturetest.SignPredicate))
		signaturetest.PushReferrerTag(t, f.reg, "app", f.app.Digest, f.pushBundle(t, b))
	}
	legacyReferrer := func(t *testing.T, f *fixture, key signaturetest.Key) {
		signaturetest.PushReferringSignatures(t, f.reg, "app", f.app, key.Sign(t, signaturetest.Payload(f.app.Digest)))
	}
	type counts = map[registrytest.Kind]int
	formats := map[string]struct {
		sign       func(*testing.T, *fixture, signaturetest.Key)
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
			sign: legacyReferrer, opts: []registrytest.Option{registrytest.WithReferrers()},
			cold: counts{registrytest.ManifestGet: 2, registrytest.Referrers: 1, registrytest.Blob: 1},
			warm: counts{registrytest.ManifestGet: 1, registrytest.Referrers: 1, registrytest.Blob: 1},
		},
		"BundleByTag": {sign: tagged, cold: counts{registrytest.ManifestGet: 3, registrytest.Referrers: 1, registrytest.Blob: 1}, warm: counts{registrytest.ManifestGet: 2, registrytest.Blob: 1}},
	}
	for name, format := range formats {
		for _, kind := range []string{"ecdsa", "ecdsa384", "rsa", "ed25519", "ed25519ph"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				f, key := newFixture(t, format.opts...), signaturetest.NewKey(t, kind)
				format.sign(t, f, key)
				v := f.verifier(t, keys(t, map[string]signaturetest.Key{"other.pub": signaturetest.NewKey(t, "ecdsa"), "team.pub": key}))
				for _, want := range []counts{format.cold, format.warm} {
					f.reg.Reset()
					NewWithT(t).Expect(f.verify(t, v)).To(HaveField("Signer()", `key "team.pub"`))
					NewWithT(t).Expect(f.reg.Counts()).To(BeComparableTo(want), "requests")
				}
			})
		}
	}
}

// TestKeyed_AcceptsLongerHashes tests keys with a curve of more than 256 bits, for which
// newer versions of cosign use a longer hash.
func TestKeyed_AcceptsLongerHashes(t *testing.T) {
	f, key := newFixture(t, registrytest.WithReferrers()), signaturetest.NewKey(t, "ecdsa384")
	f.pushBundle(t, key.BundleWithHash(t, signaturetest.Statement(f.app.Digest, signaturetest.SignPredicate), crypto.SHA384))
	NewWithT(t).Expect(f.verify(t, f.verifier(t, keys(t, map[string]signaturetest.Key{"a.pub": key})))).To(HaveField("Passed()", BeTrue()))
}

// TestKeyed_RequiresOneValidSignature tests images with signatures by other keys, too,
// and that a payload that several signatures share is fetched once.
func TestKeyed_RequiresOneValidSignature(t *testing.T) {
	f, key := newFixture(t), signaturetest.NewKey(t, "ecdsa")
	payload := signaturetest.Payload(f.app.Digest)
	f.pushSignatures(t,
		signaturetest.NewKey(t, "ecdsa").Sign(t, payload),
		signaturetest.Signature{Payload: payload, Raw: []byte("nonsense")},
		signaturetest.Signature{Payload: payload},
		key.Sign(t, payload))
	f.reg.Reset()
	NewWithT(t).Expect(f.verify(t, f.verifier(t, keys(t, map[string]signaturetest.Key{"a.pub": key})))).To(HaveField("Passed()", BeTrue()))
	NewWithT(t).Expect(f.reg.Count(registrytest.Blob)).To(Equal(1), "requests for the payload")
}

// TestLegacy_RejectsAttacks tests legacy signatures that must not let the image pass.
func TestLegacy_RejectsAttacks(t *testing.T) {
	key, wrong := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ecdsa")
	cases := map[string]attack{
		"None": {reason: "the image is not signed", attack: func(*testing.T, *fixture) {}, want: "it has no cosign signature"},
		"WrongKey": {reason: "another key signed", attack: func(t *testing.T, f *fixture) {
			f.pushSignatures(t, wrong.Sign(t, signaturetest.Payload(f.app.Digest)))
		}, want: "none of the public keys"},
		"Tampered": {reason: "the payload of another signature", want: "none of the public keys", attack: func(t *testing.T, f *fixture) {
			signature := key.Sign(t, signaturetest.Payload(f.other.Digest))
			signature.Payload = signaturetest.Payload(f.app.Digest)
			f.pushSignatures(t, signature)
		}},
		"Replayed": {reason: "the signature of another image at the signature tag of this one", want: "of another image", attack: func(t *testing.T, f *fixture) {
			signaturetest.PushSignatures(t, f.reg, "app", f.other.Digest, key.Sign(t, signaturetest.Payload(f.other.Digest)))
			f.reg.Retag(t, "app", signaturetest.SignatureTag(f.other.Digest), signaturetest.SignatureTag(f.app.Digest))
		}},
		"OtherType": {reason: "a claim of another kind about the image", want: "no claim about an image", attack: func(t *testing.T, f *fixture) {
			f.pushSignatures(t, key.Sign(t, bytes.Replace(signaturetest.Payload(f.app.Digest), []byte("cosign container image"), []byte("another"), 1)))
		}},
		"NoClaim":    {reason: "the key signed other content", want: "is malformed", attack: func(t *testing.T, f *fixture) { f.pushSignatures(t, key.Sign(t, []byte("a release note"))) }},
		"NullClaim":  {reason: "the payload is JSON without a claim", want: "no claim about an image", attack: func(t *testing.T, f *fixture) { f.pushSignatures(t, key.Sign(t, []byte("null"))) }},
		"EmptyClaim": {reason: "the payload is empty", want: "is malformed", attack: func(t *testing.T, f *fixture) { f.pushSignatures(t, key.Sign(t, []byte(" "))) }},
		"MediaType": {reason: "a layer without the media type of signatures", want: "no signature of cosign", attack: func(t *testing.T, f *fixture) {
			signature := key.Sign(t, signaturetest.Payload(f.app.Digest))
			signature.MediaType = "application/octet-stream"
			f.pushSignatures(t, signature)
		}},
		"NoLayers": {reason: "a signature tag without signatures", want: "no signature of cosign", attack: func(t *testing.T, f *fixture) { f.pushSignatures(t) }},
		"Index": {reason: "an index at the signature tag", want: "no signature of cosign", attack: func(t *testing.T, f *fixture) {
			f.reg.PushManifest(t, "app", signaturetest.SignatureTag(f.app.Digest), signaturetest.IndexType, []byte(`{"schemaVersion":2,"manifests":[]}`))
		}},
		"Malformed": {reason: "layers of another JSON type", want: "is malformed", attack: func(t *testing.T, f *fixture) {
			f.pushRaw(t, `{"schemaVersion":2,"layers":[1]}`)
		}},
		"BadDigest": {reason: "a path in place of a digest", want: "digest that is malformed", attack: func(t *testing.T, f *fixture) {
			f.pushRaw(t, `{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"../../x","size":1,"annotations":{"dev.cosignproject.cosign/signature":"YQ=="}}]}`)
		}},
		"Giant": {reason: "a payload that exceeds the memory", want: "more than the 1048576 bytes", attack: func(t *testing.T, f *fixture) {
			f.pushRaw(t, `{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.dev.cosign.simplesigning.v1+json","digest":"`+f.app.Digest+`","size":99999999999,"annotations":{"dev.cosignproject.cosign/signature":"YQ=="}}]}`)
		}},
		"Hundreds": {reason: "more signatures than the maximum", want: "more than the 32 signatures", attack: func(t *testing.T, f *fixture) {
			signatures := make([]signaturetest.Signature, 300)
			for i := range signatures {
				signatures[i] = wrong.Sign(t, signaturetest.Payload(f.app.Digest))
			}
			f.pushSignatures(t, signatures...)
		}},
	}
	checkAttacks(t, cases, keys(t, map[string]signaturetest.Key{"a.pub": key}), 3)
}

// pushRaw pushes a manifest with the signature tag.
func (f *fixture) pushRaw(t *testing.T, manifest string) {
	t.Helper()
	f.reg.PushManifest(t, "app", signaturetest.SignatureTag(f.app.Digest), signaturetest.ManifestType, []byte(manifest))
}

// TestBundle_RejectsAttacks tests bundles that must not let the image pass.
func TestBundle_RejectsAttacks(t *testing.T) {
	key, wrong, ed25519Key := signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ecdsa"), signaturetest.NewKey(t, "ed25519")
	const bundleType = signaturetest.BundleType
	cases := map[string]attack{
		"WrongKey":   {reason: "another key signed", want: "none of the public keys", attack: func(t *testing.T, f *fixture) { f.pushBundle(t, wrong.Bundle(t, statement(f.app))) }},
		"OtherImage": {reason: "the bundle of another image", want: "of another image", attack: func(t *testing.T, f *fixture) { f.pushBundle(t, key.Bundle(t, statement(f.other))) }},
		"NoSubject": {reason: "a statement without a subject", want: "another image", attack: func(t *testing.T, f *fixture) {
			f.pushBundle(t, key.Bundle(t, []byte(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://sigstore.dev/cosign/sign/v1"}`)))
		}},
		"Attestation": {reason: "an attestation may be unfavorable", want: "attested, not signed", attack: func(t *testing.T, f *fixture) {
			f.pushBundle(t, key.Bundle(t, signaturetest.Statement(f.app.Digest, "https://example.com/test-failed/v1")))
		}},
		"ListedAttestation": {reason: "an attestation that is annotated as one is not fetched", want: "attested, not signed", attack: func(t *testing.T, f *fixture) {
			const failed = "https://example.com/test-failed/v1"
			signaturetest.PushBundle(t, f.reg, "app", f.app, key.Bundle(t, signaturetest.Statement(f.app.Digest, failed)), failed)
		}},
		"ReferringLegacy": {reason: "a legacy signature of another image", want: "of another image", attack: func(t *testing.T, f *fixture) {
			signaturetest.PushReferringSignatures(t, f.reg, "app", f.app, key.Sign(t, signaturetest.Payload(f.other.Digest)))
		}},
		"ReferringLegacyWrongKey": {reason: "another key made the legacy signature", want: "none of the public keys", attack: func(t *testing.T, f *fixture) {
			signaturetest.PushReferringSignatures(t, f.reg, "app", f.app, wrong.Sign(t, signaturetest.Payload(f.app.Digest)))
		}},
		"ReferringLegacyElsewhere": {reason: "the list contains a legacy signature with another subject", want: "of another image", attack: func(t *testing.T, f *fixture) {
			f.list(t, signaturetest.PushReferringSignatures(t, f.reg, "app", f.other, key.Sign(t, signaturetest.Payload(f.app.Digest))))
		}},
		"ReferringLegacyHundreds": {reason: "more legacy signatures than the maximum", want: "more than the 32 signatures", attack: func(t *testing.T, f *fixture) {
			for range 20 {
				signature := wrong.Sign(t, signaturetest.Payload(f.app.Digest))
				signaturetest.PushReferringSignatures(t, f.reg, "app", f.app, signature, signature)
			}
		}},
		"Message": {reason: "a signature of a file", want: "holds no statement", attack: func(t *testing.T, f *fixture) {
			f.pushBundle(t, key.MessageBundle(t, f.reg.Manifest(t, "app", f.app.Digest), sumOf(f.app)))
		}},
		"EmptyMessage": {reason: "Ed25519 can't verify by a digest", want: "holds no statement", attack: func(t *testing.T, f *fixture) { f.pushBundle(t, ed25519Key.MessageBundle(t, nil, sumOf(f.app))) }},
		"Tampered": {reason: "the statement of another signature", want: "none of the public keys", attack: func(t *testing.T, f *fixture) {
			donor := key.Bundle(t, statement(f.other))
			f.pushBundle(t, signaturetest.Change(t, key.Bundle(t, statement(f.app)), func(b map[string]any) {
				b["dsseEnvelope"].(map[string]any)["signatures"] = parse(t, donor)["dsseEnvelope"].(map[string]any)["signatures"]
			}))
		}},
		"TwoSignatures": {reason: "an envelope must have one signature", want: "none of the public keys", attack: func(t *testing.T, f *fixture) {
			f.pushBundle(t, signaturetest.Change(t, key.Bundle(t, statement(f.app)), func(b map[string]any) {
				envelope := b["dsseEnvelope"].(map[string]any)
				envelope["signatures"] = append(envelope["signatures"].([]any), envelope["signatures"].([]any)...)
			}))
		}},
		"PayloadType": {reason: "the same payload with another type", want: "none of the public keys", attack: func(t *testing.T, f *fixture) {
			f.pushBundle(t, signaturetest.Change(t, key.Bundle(t, statement(f.app)), func(b map[string]any) {
				b["dsseEnvelope"].(map[string]any)["payloadType"] = "text/plain"
			}))
		}},
		"Version": {reason: "an unknown version of the format", want: "unknown version", attack: func(t *testing.T, f *fixture) {
			f.pushBundle(t, bytes.ReplaceAll(key.Bundle(t, statement(f.app)), []byte("bundle.v0.3"), []byte("bundle.v9.9")))
		}},
		"Malformed": {reason: "a bundle that is not JSON", want: "is malformed", attack: func(t *testing.T, f *fixture) { f.pushBundle(t, []byte("{")) }},
		"Giant":     {reason: "a bundle that exceeds the maximum size", want: "more than the 1048576 bytes", attack: func(t *testing.T, f *fixture) { f.pushBundle(t, bytes.Repeat([]byte(" "), maxBlob+1)) }},
		"ForeignReferrer": {reason: "the list contains a manifest with another subject", want: "of another image", attack: func(t *testing.T, f *fixture) {
			foreign := signaturetest.PushBundle(t, f.reg, "app", f.other, key.Bundle(t, statement(f.other)), signaturetest.SignPredicate)
			f.list(t, foreign)
		}},
		"NoReferrer": {reason: "the list contains a manifest without a subject", want: "of another image", attack: func(t *testing.T, f *fixture) {
			f.list(t, signaturetest.PushReferrer(t, f.reg, "app", signaturetest.Manifest{ArtifactType: bundleType, Config: signaturetest.Descriptor{MediaType: bundleType}}))
		}},
		"MediaType": {reason: "a layer without the media type of bundles", want: "has no signature, or more than one", attack: func(t *testing.T, f *fixture) {
			bundle := key.Bundle(t, statement(f.app))
			signaturetest.PushReferrer(t, f.reg, "app", signaturetest.Manifest{
				ArtifactType: bundleType, Config: signaturetest.Descriptor{MediaType: bundleType}, Subject: &f.app,
				Layers: []signaturetest.Descriptor{{MediaType: "text/plain", Digest: f.reg.PushBlob(t, "app", bundle), Size: len(bundle)}},
			})
		}},
		"BadDigest": {reason: "a path in place of a digest", want: "digest that is malformed", attack: func(t *testing.T, f *fixture) {
			f.reg.Inject(registrytest.Referrers, registrytest.Body(signaturetest.IndexType, `{"schemaVersion":2,"manifests":[{"digest":"../../x"}]}`))
		}},
		"Unrelated": {reason: "the only referrer is not a signature", want: "it has no cosign signature", attack: func(t *testing.T, f *fixture) {
			signaturetest.PushReferrer(t, f.reg, "app", signaturetest.Manifest{Config: signaturetest.Descriptor{MediaType: "application/sbom"}, Subject: &f.app})
		}},
		"Hundreds": {reason: "more bundles than the maximum", want: "more than the 32 signatures", attack: func(t *testing.T, f *fixture) {
			for range 40 {
				f.pushBundle(t, wrong.Bundle(t, statement(f.app)))
			}
		}},
	}
	checkAttacks(t, cases, keys(t, map[string]signaturetest.Key{"a.pub": key, "b.pub": ed25519Key}), 2+2*maxSignatures)
}
