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

// notarized returns the rule for the certificates of an authority.
func notarized(t testing.TB, policy []byte, certificates map[string][]byte) Rule {
	t.Helper()
	data := map[string][]byte{trustPolicyKey: policy}
	for name, cert := range certificates {
		data[name] = cert
	}
	return ruleOf(t, v1.ImageVerification{Provider: v1.VerifyNotation, SecretRef: secretRef}, data)
}

// pushEnvelope pushes the signature of an image by notation.
func (s *scene) pushEnvelope(t testing.TB, envelope []byte) signaturetest.Descriptor {
	t.Helper()
	return signaturetest.PushEnvelope(t, s.reg, "app", s.app, envelope)
}

func TestNotation_AcceptsSignatures(t *testing.T) {
	notary := signaturetest.NewNotary(t, signaturetest.Terms{Name: "release"})
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
			s := newScene(t, tc.opts...)
			referrer := s.pushEnvelope(t, notary.Sign(t, s.app, 0))
			if tc.opts == nil {
				signaturetest.PushReferrerTag(t, s.reg, "app", s.app.Digest, referrer)
			}
			s.reg.Reset()
			got := s.verify(t, s.verifier(t, notarized(t, strict, tc.certificates)))
			g.Expect(got.Signer()).To(ContainSubstring("CN=release"), "signed by %q, rejected for %q", got.Signer(), got.Reason())
			g.Expect(s.reg.Counts()).To(BeComparableTo(tc.want), "requests")
		})
	}
}

// TestNotation_RejectsAttacks tests signatures of notation that must not let the image
// pass, by each level of trust policies.
func TestNotation_RejectsAttacks(t *testing.T) {
	notary, stranger := signaturetest.NewNotary(t, signaturetest.Terms{Name: "release"}), signaturetest.NewNotary(t, signaturetest.Terms{Name: "release"})
	cases := map[string]attack{
		"None":     {reason: "nobody signed", attack: func(*testing.T, *scene) {}, want: "it has no notation signature"},
		"Stranger": {reason: "another authority", want: "not valid", attack: func(t *testing.T, s *scene) { s.pushEnvelope(t, stranger.Sign(t, s.app, 0)) }},
		"Replayed": {reason: "another image", want: "of another image", attack: func(t *testing.T, s *scene) { s.pushEnvelope(t, notary.Sign(t, s.other, 0)) }},
		"OtherSize": {reason: "another descriptor", want: "of another image", attack: func(t *testing.T, s *scene) {
			described := s.app
			described.Size++
			s.pushEnvelope(t, notary.Sign(t, described, 0))
		}},
		"Tampered": {reason: "another payload", want: "not valid", attack: func(t *testing.T, s *scene) {
			donor := parse(t, notary.Sign(t, s.app, 0))
			s.pushEnvelope(t, signaturetest.Change(t, notary.Sign(t, s.other, 0), func(e map[string]any) { e["payload"] = donor["payload"] }))
		}},
		"Malformed": {reason: "no JSON", want: "not valid", attack: func(t *testing.T, s *scene) { s.pushEnvelope(t, []byte("{")) }},
		"ForeignReferrer": {reason: "a list may name what refers to something else", want: "of another image", attack: func(t *testing.T, s *scene) {
			s.list(t, signaturetest.PushEnvelope(t, s.reg, "app", s.other, notary.Sign(t, s.app, 0)))
		}},
		"MediaType": {reason: "an envelope of another kind", want: "is no signature", attack: func(t *testing.T, s *scene) {
			envelope := notary.Sign(t, s.app, 0)
			signaturetest.PushReferrer(t, s.reg, "app", signaturetest.Manifest{
				Config: signaturetest.Descriptor{MediaType: signaturetest.NotationType}, Subject: &s.app,
				Layers: []signaturetest.Descriptor{{MediaType: "application/json", Digest: s.reg.PushBlob(t, "app", envelope), Size: len(envelope)}},
			})
		}},
	}
	for _, level := range []string{"strict", "permissive", "audit"} {
		t.Run(level, func(t *testing.T) {
			policy := signaturetest.TrustPolicy(t, level, "*")
			checkAttacks(t, cases, notarized(t, policy, map[string][]byte{"ca.crt": notary.PEM()}), 6)
		})
	}
}

// TestNotation_RejectsExpiredSignatureIfStrict tests that the expiry of a signature counts where the
// trust policy is strict.
func TestNotation_RejectsExpiredSignatureIfStrict(t *testing.T) {
	notary, s := signaturetest.NewNotary(t, signaturetest.Terms{Name: "release"}), newScene(t, registrytest.WithReferrers())
	s.pushEnvelope(t, notary.Sign(t, s.app, time.Second))
	time.Sleep(1100 * time.Millisecond)
	for level, want := range map[string]bool{"strict": false, "permissive": true} {
		policy := signaturetest.TrustPolicy(t, level, "*")
		NewWithT(t).Expect(s.verify(t, s.verifier(t, notarized(t, policy, map[string][]byte{"ca.crt": notary.PEM()})))).To(HaveField("Passed()", want), level)
	}
}

// TestNotation_RejectsExpiredCertificate tests a signature whose certificate has expired since,
// and of which nobody says when it was made.
func TestNotation_RejectsExpiredCertificate(t *testing.T) {
	g := NewWithT(t)
	notary, s := signaturetest.NewNotary(t, signaturetest.Terms{Name: "release", ValidFor: 3 * time.Second}), newScene(t, registrytest.WithReferrers())
	s.pushEnvelope(t, notary.Sign(t, s.app, 0))
	time.Sleep(3500 * time.Millisecond)
	v := s.verifier(t, notarized(t, signaturetest.TrustPolicy(t, "strict", "*"), map[string][]byte{"ca.crt": notary.PEM()}))
	first := s.verify(t, v)
	g.Expect(first.Passed()).To(BeFalse())
	g.Expect(first.Reason()).To(ContainSubstring("not valid"))
	time.Sleep(1100 * time.Millisecond)
	if again := s.verify(t, v); again != first {
		t.Errorf("the reason was %q, and is now %q", first.Reason(), again.Reason())
	}
}

// TestNotation_AppliesTrustPolicyScopes tests for which images a trust policy can let one
// pass.
func TestNotation_AppliesTrustPolicyScopes(t *testing.T) {
	notary, s := signaturetest.NewNotary(t, signaturetest.Terms{Name: "release"}), newScene(t, registrytest.WithReferrers())
	s.pushEnvelope(t, notary.Sign(t, s.app, 0))
	cases := map[string]struct {
		level, scope string
		want         string // "" passes
	}{
		"All":     {level: "strict", scope: "*"},
		"Image":   {level: "strict", scope: s.img.Canonical()},
		"Other":   {level: "strict", scope: s.img.Canonical() + "2", want: "add its name to the registryScopes"},
		"Skipped": {level: "skip", scope: "*", want: "verification of the image skipped"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s.reg.Reset()
			policy := signaturetest.TrustPolicy(t, tc.level, tc.scope)
			got := s.verify(t, s.verifier(t, notarized(t, policy, map[string][]byte{"ca.crt": notary.PEM()})))
			g.Expect(got.Passed()).To(Equal(tc.want == ""))
			g.Expect(got.Reason()).To(ContainSubstring(tc.want))
			if n := s.reg.Count(registrytest.Any); tc.want != "" && n != 0 {
				t.Errorf("%d requests were made in vain", n)
			}
		})
	}
}

// TestNotation_ReturnsErrorIfRevocationIsUnknown tests that a server which can't say whether a certificate was
// revoked is no reason to reject, nor to pass, where that is demanded.
func TestNotation_ReturnsErrorIfRevocationIsUnknown(t *testing.T) {
	var asked int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(server.Close)
	notary, s := signaturetest.NewNotary(t, signaturetest.Terms{Name: "release", OCSPServer: server.URL}), newScene(t, registrytest.WithReferrers())
	s.pushEnvelope(t, notary.Sign(t, s.app, 0))
	certificates := map[string][]byte{"ca.crt": notary.PEM()}
	strict := s.verifier(t, notarized(t, signaturetest.TrustPolicy(t, "strict", "*"), certificates))
	verdict, err := strict.Verify(t.Context(), s.open(t), s.img, s.app.Digest)
	if _, unavailable := errors.AsType[*UnavailableError](err); !unavailable || verdict.Passed() || verdict.Reason() != "" {
		t.Errorf("got the verdict %+v and the error %v", verdict, err)
	}
	NewWithT(t).Expect(asked).NotTo(BeZero(), "nobody was asked")
	permissive := s.verifier(t, notarized(t, signaturetest.TrustPolicy(t, "permissive", "*"), certificates))
	NewWithT(t).Expect(s.verify(t, permissive)).To(HaveField("Passed()", BeTrue()))
}
