// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// TestNew_RejectsInvalidRules tests that invalid rules are rejected at construction, with
// errors that name what to change and quote no key.
func TestNew_RejectsInvalidRules(t *testing.T) {
	key, sigstore := signaturetest.NewKey(t, "ecdsa").PublicPEM(t), signaturetest.NewSigstore(t)
	notary := signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release"})
	private := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: []byte("secret")})
	policy, root := signaturetest.TrustPolicy(t, "strict", "*"), sigstore.TrustedRoot(t, signaturetest.RootOptions{})
	byKey := v1.ImageVerification{Provider: v1.VerifyCosign, SecretRef: secretRef}
	byNotation := v1.ImageVerification{Provider: v1.VerifyNotation, SecretRef: secretRef}
	byIdentity := func(issuer, subject string) v1.ImageVerification {
		anyOf := []v1.OIDCIdentityMatch{{Issuer: ".", Subject: "."}, {Issuer: issuer, Subject: subject}}
		return v1.ImageVerification{Provider: v1.VerifyCosign, MatchOIDCIdentity: anyOf, TrustedRootSecretRef: secretRef}
	}
	attesting := func(requirements ...v1.AttestationRequirement) v1.ImageVerification {
		return v1.ImageVerification{SecretRef: secretRef, Attestations: requirements}
	}
	public := v1.ImageVerification{MatchOIDCIdentity: []v1.OIDCIdentityMatch{{Issuer: ".", Subject: "."}}}
	type data = map[string][]byte
	many := data{}
	for i := range maxKeys + 1 {
		many[strings.Repeat("a", i+1)+".pub"] = key
	}
	cases := map[string]struct {
		verify v1.ImageVerification
		data   data
		want   string
	}{
		"NoKey":         {byKey, data{"cosign.key": key}, "under a key that ends with .pub"},
		"ManyKeys":      {byKey, many, "more than the 32 public keys"},
		"NotPEM":        {byKey, data{"a.pub": []byte("ssh-ed25519 AAAA"), "README": nil}, "a.pub is no public key in PEM"},
		"PrivateKey":    {byKey, data{"a.pub": private}, "a.pub is a private key"},
		"Certificate":   {byKey, data{"a.pub": notary.PEM()}, `it is a "CERTIFICATE"`},
		"Broken":        {byKey, data{"a.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})}, "a.pub is no public key"},
		"TwoInOne":      {byKey, data{"a.pub": append(key, key...)}, "more than one public key"},
		"ShortRSA":      {byKey, data{"a.pub": shortRSA(t)}, "not safe"},
		"NoIdentity":    {v1.ImageVerification{TrustedRootSecretRef: secretRef}, data{trustedRootKey: root}, "between 1 and 64 entries"},
		"EmptyIssuer":   {byIdentity("", "."), data{trustedRootKey: root}, "matchOIDCIdentity[1] must have an issuer and a subject"},
		"EmptySubject":  {byIdentity(".", ""), data{trustedRootKey: root}, "matchOIDCIdentity[1] must have an issuer and a subject"},
		"BadIssuer":     {byIdentity("(", "."), data{trustedRootKey: root}, "matchOIDCIdentity[1].issuer is no regular expression"},
		"BadSubject":    {byIdentity(".", "["), data{trustedRootKey: root}, "matchOIDCIdentity[1].subject is no regular expression"},
		"NoRoot":        {byIdentity(".", "."), data{"root.json": root}, "no key trusted_root.json"},
		"BadRoot":       {byIdentity(".", "."), data{trustedRootKey: []byte("{")}, "trusted_root.json is no trusted root"},
		"EmptyRoot":     {byIdentity(".", "."), data{trustedRootKey: {}}, "trusted_root.json is no trusted root"},
		"NoAuthorities": {byIdentity(".", "."), data{trustedRootKey: sigstore.TrustedRoot(t, signaturetest.RootOptions{NoAuthorities: true})}, "has no certificate authority"},
		"NoTime":        {byIdentity(".", "."), data{trustedRootKey: sigstore.TrustedRoot(t, signaturetest.RootOptions{NoLogs: true, NoTimestamps: true})}, "has no source of the time of signatures"},
		"NoPublicRoot":  {public, nil, "no public trusted root is available here"},
		"NoPolicy":      {byNotation, data{"a.crt": notary.PEM()}, "no key trustpolicy.json"},
		"BadPolicy":     {byNotation, data{trustPolicyKey: []byte("{"), "a.crt": notary.PEM()}, "trustpolicy.json is no JSON"},
		"EmptyPolicy":   {byNotation, data{trustPolicyKey: []byte("{}"), "a.crt": notary.PEM()}, "trustpolicy.json is not valid"},
		"BadLevel":      {byNotation, data{trustPolicyKey: signaturetest.TrustPolicy(t, "lax", "*"), "a.crt": notary.PEM()}, "trustpolicy.json is not valid"},
		"NoCertificate": {byNotation, data{trustPolicyKey: policy}, "under a key that ends with .crt or .pem"},
		"BadCert":       {byNotation, data{trustPolicyKey: policy, "a.crt": []byte("x")}, "a.crt holds no certificate"},
		"NotaryAttests": {v1.ImageVerification{Provider: v1.VerifyNotation, SecretRef: secretRef, Attestations: []v1.AttestationRequirement{{PredicateType: sbom}}},
			data{trustPolicyKey: policy, "a.crt": notary.PEM()}, "set spec.verify.provider to cosign, or remove spec.verify.attestations"},
		"NoType":        {attesting(v1.AttestationRequirement{CEL: "true"}), data{"a.pub": key}, "spec.verify.attestations[0] has no predicateType: set it"},
		"SignatureCEL":  {attesting(v1.AttestationRequirement{PredicateType: signPredicate, CEL: "true"}), data{"a.pub": key}, "has no predicate that cel can check: remove cel"},
		"ManyAttest":    {attesting(make([]v1.AttestationRequirement, v1.MaxAttestations+1)...), data{"a.pub": key}, "at most 8 entries"},
		"BadExpression": {attesting(v1.AttestationRequirement{PredicateType: sbom, CEL: "predicate."}), data{"a.pub": key}, "spec.verify.attestations[0].cel:1:11: Syntax error"},
		"KeyAsCert":     {byNotation, data{trustPolicyKey: policy, "a.crt": key}, "a.crt holds no certificate"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rule, err := RuleOf(&tc.verify, tc.data)
			if err == nil {
				_, err = New(rule, nil)
			}
			if _, invalid := errors.AsType[*InvalidError](err); !invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got the error %v (%T), want %q", err, err, tc.want)
			}
		})
	}
}

// shortRSA returns a public key of an unsafe size.
func shortRSA(t *testing.T) []byte {
	t.Helper()
	g := NewWithT(t)
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	g.Expect(err).NotTo(HaveOccurred())
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	g.Expect(err).NotTo(HaveOccurred())
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// TestFingerprint_DiffersByRule tests that the fingerprint, by which verdicts are cached,
// is equal for equal rules only.
func TestFingerprint_DiffersByRule(t *testing.T) {
	g := NewWithT(t)
	type data = map[string][]byte
	anyOf := func(names ...string) []v1.OIDCIdentityMatch {
		var all []v1.OIDCIdentityMatch
		for i := 0; i < len(names); i += 2 {
			all = append(all, v1.OIDCIdentityMatch{Issuer: names[i], Subject: names[i+1]})
		}
		return all
	}
	byNotation := v1.ImageVerification{Provider: v1.VerifyNotation, SecretRef: secretRef}
	byKey := v1.ImageVerification{SecretRef: secretRef}
	withRoot := v1.ImageVerification{MatchOIDCIdentity: anyOf("a", "b"), TrustedRootSecretRef: secretRef}
	rules := map[string]struct {
		verify v1.ImageVerification
		data   data
	}{
		"Key":          {byKey, data{"a.pub": []byte("1"), "b.pub": []byte("2")}},
		"OtherKey":     {byKey, data{"a.pub": []byte("1"), "b.pub": []byte("3")}},
		"OtherName":    {byKey, data{"a.pub": []byte("1"), "c.pub": []byte("2")}},
		"OneKey":       {byKey, data{"a.pub": []byte("1")}},
		"Border":       {byKey, data{"a.pub": []byte("1b.pub2")}},
		"Public":       {v1.ImageVerification{MatchOIDCIdentity: anyOf("a", "b")}, nil},
		"Swapped":      {v1.ImageVerification{MatchOIDCIdentity: anyOf("b", "a")}, nil},
		"Two":          {v1.ImageVerification{MatchOIDCIdentity: anyOf("a", "b", "c", "d")}, nil},
		"LikeARoot":    {v1.ImageVerification{MatchOIDCIdentity: anyOf("a", "b", trustedRootKey, "x")}, nil},
		"EmptyRoot":    {withRoot, data{trustedRootKey: {}}},
		"Root":         {withRoot, data{trustedRootKey: []byte("x")}},
		"Notation":     {byNotation, data{trustPolicyKey: []byte("p"), "a.crt": []byte("1")}},
		"OtherPolicy":  {byNotation, data{trustPolicyKey: []byte("q"), "a.crt": []byte("1")}},
		"Certificates": {byNotation, data{trustPolicyKey: []byte("p"), "a.crt": []byte("2")}},
	}
	names := map[string]string{} // by fingerprint
	for name, rule := range rules {
		sum := ruleOf(t, rule.verify, rule.data).fingerprint()
		g.Expect(names[sum]).To(BeEmpty(), name)
		names[sum] = name
		extended := maps.Clone(rule.data)
		if extended != nil {
			extended["README"] = []byte("not read")
		}
		g.Expect(ruleOf(t, rule.verify, extended).fingerprint()).To(Equal(sum), "%s with an unrelated entry in the Secret", name)
	}
	rule := ruleOf(t, byKey, data{"a.pub": signaturetest.NewKey(t, "ecdsa").PublicPEM(t)})
	g.Expect(New(rule, nil)).To(HaveField("Fingerprint()", rule.fingerprint()), "the Verifier of the rule")
}

// TestVerdict_ZeroValueDoesNotPass tests that an unset verdict is not a pass.
func TestVerdict_ZeroValueDoesNotPass(t *testing.T) {
	NewWithT(t).Expect((Verdict{}).Passed()).To(BeFalse(), "the zero verdict")
}

// TestVerify_RejectsInvalidDigest tests that an invalid digest is an error, without any
// request.
func TestVerify_RejectsInvalidDigest(t *testing.T) {
	f := newFixture(t)
	v := f.verifier(t, keys(t, map[string]signaturetest.Key{"a.pub": signaturetest.NewKey(t, "ecdsa")}))
	f.reg.Reset()
	for _, digest := range []string{"", "1.0.0", "sha256:../../x", "sha512:" + strings.Repeat("0", 128)} {
		verdict, err := v.Verify(t.Context(), f.open(t), f.img, digest, time.Now())
		if err == nil || verdict.Passed() || verdict.Reason() != "" {
			t.Errorf("%q: got the verdict %+v and the error %v", digest, verdict, err)
		}
	}
	NewWithT(t).Expect(len(f.reg.Requests())).To(BeZero(), "requests")
}

// TestAttestations_DifferInFingerprint tests that verdicts are not reused if the
// requirements differ.
func TestAttestations_DifferInFingerprint(t *testing.T) {
	plain := Rule{scheme: byKey, files: map[string][]byte{"a.pub": []byte("1")}}
	sums := map[string]string{plain.fingerprint(): "plain"}
	for name, rule := range map[string]Rule{
		"type": attested(plain, [2]string{"a", ""}), "other type": attested(plain, [2]string{"b", ""}),
		"cel": attested(plain, [2]string{"a", "b"}), "border": attested(plain, [2]string{"ab", ""}),
		"two": attested(plain, [2]string{"a", ""}, [2]string{"b", ""}), "order": attested(plain, [2]string{"b", ""}, [2]string{"a", ""}),
	} {
		sum := rule.fingerprint()
		if other, found := sums[sum]; found {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		sums[sum] = name
		NewWithT(t).Expect(maps.Clone(plain.files)).To(Equal(rule.files))
	}
}
