// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// notationRule returns the rule for a trust policy and its certificates.
func notationRule(t testing.TB, policy []byte, certificates map[string][]byte) Rule {
	t.Helper()
	data := map[string][]byte{trustPolicyKey: policy}
	for name, cert := range certificates {
		data[name] = cert
	}
	return ruleOf(t, v1.ImageVerification{Provider: v1.VerifyNotation, SecretRef: secretRef}, data)
}

// pushEnvelope pushes the envelope of a notation signature that refers to the image.
func (f *fixture) pushEnvelope(t testing.TB, envelope []byte) signaturetest.Descriptor {
	t.Helper()
	return signaturetest.PushEnvelope(t, f.reg, "app", f.app, envelope)
}

func TestNotation_AcceptsSignatures(t *testing.T) {
	notary := signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release"})
	strict := signaturetest.TrustPolicy(t, "strict", "*")
	type counts = map[registrytest.Kind]int
	cases := map[string]struct {
		opts         []registrytest.Option
		certificates map[string][]byte
		want         counts
	}{
		"API": {
			opts: []registrytest.Option{registrytest.WithReferrers()}, certificates: map[string][]byte{"ca.crt": notary.PEM()},
			want: counts{registrytest.Referrers: 1, registrytest.ManifestGet: 2, registrytest.Blob: 1},
		},
		"Tag": {certificates: map[string][]byte{"ca.pem": notary.DER()}, want: counts{registrytest.Referrers: 1, registrytest.ManifestGet: 3, registrytest.Blob: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t, tc.opts...)
			referrer := f.pushEnvelope(t, notary.Sign(t, f.app, 0))
			if tc.opts == nil {
				signaturetest.PushReferrerTag(t, f.reg, "app", f.app.Digest, referrer)
			}
			f.reg.Reset()
			got := f.verify(t, f.verifier(t, notationRule(t, strict, tc.certificates)))
			g.Expect(got.Signer()).To(ContainSubstring("CN=release"), "signed by %q, rejected for %q", got.Signer(), got.Reason())
			g.Expect(f.reg.Counts()).To(BeComparableTo(tc.want), "requests")
		})
	}
}

// TestNotation_RejectsAttacks tests notation signatures that must not let the image pass,
// at each level of trust policies.
func TestNotation_RejectsAttacks(t *testing.T) {
	notary, untrusted := signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release"}), signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release"})
	cases := map[string]attack{
		"None":           {reason: "the image is not signed", attack: func(*testing.T, *fixture) {}, want: "it has no notation signature"},
		"OtherAuthority": {reason: "another authority", want: "not valid", attack: func(t *testing.T, f *fixture) { f.pushEnvelope(t, untrusted.Sign(t, f.app, 0)) }},
		"Replayed":       {reason: "another image", want: "of another image", attack: func(t *testing.T, f *fixture) { f.pushEnvelope(t, notary.Sign(t, f.other, 0)) }},
		"OtherSize": {reason: "another descriptor", want: "of another image", attack: func(t *testing.T, f *fixture) {
			resized := f.app
			resized.Size++
			f.pushEnvelope(t, notary.Sign(t, resized, 0))
		}},
		"Tampered": {reason: "another payload", want: "not valid", attack: func(t *testing.T, f *fixture) {
			donor := parse(t, notary.Sign(t, f.app, 0))
			f.pushEnvelope(t, signaturetest.Change(t, notary.Sign(t, f.other, 0), func(e map[string]any) { e["payload"] = donor["payload"] }))
		}},
		"Malformed": {reason: "an envelope that is not JSON", want: "not valid", attack: func(t *testing.T, f *fixture) { f.pushEnvelope(t, []byte("{")) }},
		"ForeignReferrer": {reason: "the list contains a manifest with another subject", want: "of another image", attack: func(t *testing.T, f *fixture) {
			f.list(t, signaturetest.PushEnvelope(t, f.reg, "app", f.other, notary.Sign(t, f.app, 0)))
		}},
		"MediaType": {reason: "an envelope with another media type", want: "has no signature, or more than one", attack: func(t *testing.T, f *fixture) {
			envelope := notary.Sign(t, f.app, 0)
			signaturetest.PushReferrer(t, f.reg, "app", signaturetest.Manifest{
				Config: signaturetest.Descriptor{MediaType: signaturetest.NotationType}, Subject: &f.app,
				Layers: []signaturetest.Descriptor{{MediaType: "application/json", Digest: f.reg.PushBlob(t, "app", envelope), Size: len(envelope)}},
			})
		}},
	}
	for _, level := range []string{"strict", "permissive", "audit"} {
		t.Run(level, func(t *testing.T) {
			policy := signaturetest.TrustPolicy(t, level, "*")
			checkAttacks(t, cases, notationRule(t, policy, map[string][]byte{"ca.crt": notary.PEM()}), 6)
		})
	}
}

// TestNotation_RejectsExpiredSignatureIfStrict tests that an expired signature is rejected
// if the trust policy is strict, and passes if it is permissive.
func TestNotation_RejectsExpiredSignatureIfStrict(t *testing.T) {
	notary, f := signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release"}), newFixture(t, registrytest.WithReferrers())
	f.pushEnvelope(t, notary.Sign(t, f.app, time.Second))
	time.Sleep(1100 * time.Millisecond)
	for level, want := range map[string]bool{"strict": false, "permissive": true} {
		policy := signaturetest.TrustPolicy(t, level, "*")
		NewWithT(t).Expect(f.verify(t, f.verifier(t, notationRule(t, policy, map[string][]byte{"ca.crt": notary.PEM()})))).To(HaveField("Passed()", want), level)
	}
}

// TestNotation_RejectsExpiredCertificate tests a signature without a timestamp whose
// certificate expired after it was made.
func TestNotation_RejectsExpiredCertificate(t *testing.T) {
	g := NewWithT(t)
	notary, f := signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release", ValidFor: 3 * time.Second}), newFixture(t, registrytest.WithReferrers())
	f.pushEnvelope(t, notary.Sign(t, f.app, 0))
	time.Sleep(3500 * time.Millisecond)
	v := f.verifier(t, notationRule(t, signaturetest.TrustPolicy(t, "strict", "*"), map[string][]byte{"ca.crt": notary.PEM()}))
	first := f.verify(t, v)
	g.Expect(first.Passed()).To(BeFalse())
	g.Expect(first.Reason()).To(ContainSubstring("not valid"))
	time.Sleep(1100 * time.Millisecond)
	if second := f.verify(t, v); second != first {
		t.Errorf("the reason changed from %q to %q", first.Reason(), second.Reason())
	}
}

// TestNotation_AppliesTrustPolicyScopes tests that only images in the scope of a trust
// policy can pass, and that no requests are made for others.
func TestNotation_AppliesTrustPolicyScopes(t *testing.T) {
	notary, f := signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release"}), newFixture(t, registrytest.WithReferrers())
	f.pushEnvelope(t, notary.Sign(t, f.app, 0))
	cases := map[string]struct {
		level, scope string
		want         string // "" passes
	}{
		"All":     {level: "strict", scope: "*"},
		"Image":   {level: "strict", scope: f.img.Canonical()},
		"Other":   {level: "strict", scope: f.img.Canonical() + "2", want: "add its name to the registryScopes"},
		"Skipped": {level: "skip", scope: "*", want: "skips the verification of the image"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f.reg.Reset()
			policy := signaturetest.TrustPolicy(t, tc.level, tc.scope)
			got := f.verify(t, f.verifier(t, notationRule(t, policy, map[string][]byte{"ca.crt": notary.PEM()})))
			g.Expect(got.Passed()).To(Equal(tc.want == ""))
			g.Expect(got.Reason()).To(ContainSubstring(tc.want))
			if n := f.reg.Count(registrytest.Any); tc.want != "" && n != 0 {
				t.Errorf("%d requests were made, want none", n)
			}
		})
	}
}

// TestNotation_ReturnsErrorIfRevocationIsUnknown tests that an image is neither rejected
// nor passes if the revocation status is unknown and the trust policy requires it.
func TestNotation_ReturnsErrorIfRevocationIsUnknown(t *testing.T) {
	var requests int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(server.Close)
	notary, f := signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release", OCSPServer: server.URL}), newFixture(t, registrytest.WithReferrers())
	f.pushEnvelope(t, notary.Sign(t, f.app, 0))
	certificates := map[string][]byte{"ca.crt": notary.PEM()}
	strict := f.verifier(t, notationRule(t, signaturetest.TrustPolicy(t, "strict", "*"), certificates))
	verdict, err := strict.Verify(t.Context(), f.open(t), f.img, f.app.Digest, time.Now())
	if _, unavailable := errors.AsType[*UnavailableError](err); !unavailable || verdict.Passed() || verdict.Reason() != "" {
		t.Errorf("got the verdict %+v and the error %v", verdict, err)
	}
	NewWithT(t).Expect(requests).NotTo(BeZero(), "requests for the revocation status")
	permissive := f.verifier(t, notationRule(t, signaturetest.TrustPolicy(t, "permissive", "*"), certificates))
	NewWithT(t).Expect(f.verify(t, permissive)).To(HaveField("Passed()", BeTrue()))
}
