// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// TestInvalidRules tests that rules which can't be followed are told from the
// start, in words that say what to change, and quote no key.
func TestInvalidRules(t *testing.T) {
	public, sigstore := signaturetest.NewKey(t, "ecdsa").PublicPEM(t), signaturetest.NewSigstore(t)
	notary := signaturetest.NewNotary(t, signaturetest.Terms{Name: "release"})
	private := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: []byte("secret")})
	policy := signaturetest.TrustPolicy(t, "strict", "*")
	byKey := func(text []byte) Rule { return KeysFrom(map[string][]byte{"a.pub": text, "README": nil}) }
	byIdentity := func(issuer, subject string, root []byte) Rule {
		return Rule{Identities: &Identities{AnyOf: []Identity{{Issuer: ".", Subject: "."}, {Issuer: issuer, Subject: subject}}, TrustedRoot: root}}
	}
	root := sigstore.TrustedRoot(t, signaturetest.Parts{})
	many := map[string][]byte{}
	for i := range maxKeys + 1 {
		many[strings.Repeat("a", i+1)+".pub"] = public
	}
	cases := map[string]struct {
		rule Rule
		want string
	}{
		"Nothing":       {rule: Rule{}, want: "exactly one"},
		"Both":          {rule: Rule{Keys: &Keys{}, Notation: &Notation{}}, want: "exactly one"},
		"NoKey":         {rule: KeysFrom(map[string][]byte{"cosign.key": public}), want: "under a key that ends with .pub"},
		"ManyKeys":      {rule: KeysFrom(many), want: "more than the 32 public keys"},
		"NotPEM":        {rule: byKey([]byte("ssh-ed25519 AAAA")), want: "a.pub is no public key in PEM"},
		"PrivateKey":    {rule: byKey(private), want: "a.pub is a private key"},
		"Certificate":   {rule: byKey(notary.PEM()), want: `it is a "CERTIFICATE"`},
		"Broken":        {rule: byKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), want: "a.pub is no public key"},
		"TwoInOne":      {rule: byKey(append(public, public...)), want: "more than one public key"},
		"ShortRSA":      {rule: byKey(shortRSA(t)), want: "not safe"},
		"NoIdentity":    {rule: Rule{Identities: &Identities{TrustedRoot: root}}, want: "between 1 and 64 entries"},
		"EmptyIssuer":   {rule: byIdentity("", ".", root), want: "matchOIDCIdentity[1] must have an issuer and a subject"},
		"EmptySubject":  {rule: byIdentity(".", "", root), want: "matchOIDCIdentity[1] must have an issuer and a subject"},
		"BadIssuer":     {rule: byIdentity("(", ".", root), want: "matchOIDCIdentity[1].issuer is no regular expression"},
		"BadSubject":    {rule: byIdentity(".", "[", root), want: "matchOIDCIdentity[1].subject is no regular expression"},
		"BadRoot":       {rule: byIdentity(".", ".", []byte("{")), want: "trusted_root.json is no trusted root"},
		"EmptyRoot":     {rule: byIdentity(".", ".", []byte{}), want: "trusted_root.json is no trusted root"},
		"NoAuthorities": {rule: byIdentity(".", ".", sigstore.TrustedRoot(t, signaturetest.Parts{NoAuthorities: true})), want: "names no certificate authority"},
		"NoTime":        {rule: byIdentity(".", ".", sigstore.TrustedRoot(t, signaturetest.Parts{NoLogs: true, NoTimestamps: true})), want: "names nobody who says when"},
		"NoPublicRoot":  {rule: byIdentity(".", ".", nil), want: "no public trusted root here"},
		"BadPolicy":     {rule: Rule{Notation: &Notation{TrustPolicy: []byte("{"), Certificates: map[string][]byte{"a.crt": notary.PEM()}}}, want: "trustpolicy.json is no JSON"},
		"EmptyPolicy":   {rule: Rule{Notation: &Notation{TrustPolicy: []byte("{}"), Certificates: map[string][]byte{"a.crt": notary.PEM()}}}, want: "trustpolicy.json is not valid"},
		"BadLevel":      {rule: Rule{Notation: &Notation{TrustPolicy: signaturetest.TrustPolicy(t, "lax", "*"), Certificates: map[string][]byte{"a.crt": notary.PEM()}}}, want: "trustpolicy.json is not valid"},
		"NoCertificate": {rule: Rule{Notation: &Notation{TrustPolicy: policy}}, want: "under a key that ends with .crt or .pem"},
		"BadCert":       {rule: Rule{Notation: &Notation{TrustPolicy: policy, Certificates: map[string][]byte{"a.crt": []byte("x")}}}, want: "a.crt holds no certificate"},
		"KeyAsCert":     {rule: Rule{Notation: &Notation{TrustPolicy: policy, Certificates: map[string][]byte{"a.crt": public}}}, want: "a.crt holds no certificate"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.rule, nil)
			if _, invalid := errors.AsType[*InvalidError](err); !invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got the error %v (%T), want %q", err, err, tc.want)
			}
		})
	}
}

// shortRSA returns a key of a size that is not safe any more.
func shortRSA(t *testing.T) []byte {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// TestSecretsWithoutWhatIsNeeded tests the keys that Secrets must have.
func TestSecretsWithoutWhatIsNeeded(t *testing.T) {
	_, root := IdentitiesFrom(nil, map[string][]byte{"root.json": nil})
	_, policy := NotationFrom(map[string][]byte{"ca.crt": nil})
	for want, err := range map[string]error{"no key trusted_root.json": root, "no key trustpolicy.json": policy} {
		if _, invalid := errors.AsType[*InvalidError](err); !invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want %q", err, want)
		}
	}
}

// TestFingerprints tests that a verdict may be kept for a fingerprint: it is the
// same for the same rule, and another one for each other rule.
func TestFingerprints(t *testing.T) {
	rules := map[string]func() Rule{
		"Key":       func() Rule { return KeysFrom(map[string][]byte{"a.pub": []byte("1"), "b.pub": []byte("2")}) },
		"OtherKey":  func() Rule { return KeysFrom(map[string][]byte{"a.pub": []byte("1"), "b.pub": []byte("3")}) },
		"OtherName": func() Rule { return KeysFrom(map[string][]byte{"a.pub": []byte("1"), "c.pub": []byte("2")}) },
		"OneKey":    func() Rule { return KeysFrom(map[string][]byte{"a.pub": []byte("1")}) },
		"Border":    func() Rule { return KeysFrom(map[string][]byte{"a.pub": []byte("1b.pub2")}) },
		"Public":    func() Rule { return PublicIdentities([]Identity{{Issuer: "a", Subject: "b"}}) },
		"Swapped":   func() Rule { return PublicIdentities([]Identity{{Issuer: "b", Subject: "a"}}) },
		"Two": func() Rule {
			return PublicIdentities([]Identity{{Issuer: "a", Subject: "b"}, {Issuer: "c", Subject: "d"}})
		},
		"EmptyRoot": func() Rule {
			return Rule{Identities: &Identities{AnyOf: []Identity{{Issuer: "a", Subject: "b"}}, TrustedRoot: []byte{}}}
		},
		"Root": func() Rule {
			return Rule{Identities: &Identities{AnyOf: []Identity{{Issuer: "a", Subject: "b"}}, TrustedRoot: []byte("x")}}
		},
		"Notation": func() Rule {
			return Rule{Notation: &Notation{TrustPolicy: []byte("p"), Certificates: map[string][]byte{"a.crt": []byte("1")}}}
		},
		"OtherPolicy": func() Rule {
			return Rule{Notation: &Notation{TrustPolicy: []byte("q"), Certificates: map[string][]byte{"a.crt": []byte("1")}}}
		},
		"Certificates": func() Rule {
			return Rule{Notation: &Notation{TrustPolicy: []byte("p"), Certificates: map[string][]byte{"a.crt": []byte("2")}}}
		},
	}
	seen := map[string]string{}
	for name, rule := range rules {
		sum := rule().fingerprint()
		if other := seen[sum]; other != "" {
			t.Errorf("%s and %s have the same fingerprint", name, other)
		}
		seen[sum] = name
		if again := rule().fingerprint(); again != sum {
			t.Errorf("%s has the fingerprints %s and %s", name, sum, again)
		}
	}
	key := signaturetest.NewKey(t, "ecdsa").PublicPEM(t)
	v, err := New(KeysFrom(map[string][]byte{"a.pub": key}), nil)
	if err != nil || v.Fingerprint() == "" || v.Fingerprint() != KeysFrom(map[string][]byte{"a.pub": key}).fingerprint() {
		t.Errorf("got the fingerprint %q, error %v", v.Fingerprint(), err)
	}
}

// TestZeroVerdict tests that a verdict which nobody gave lets nothing pass.
func TestZeroVerdict(t *testing.T) {
	if (Verdict{}).Passed() {
		t.Error("the zero verdict passes")
	}
}

// TestUnknownDigest tests that nothing is asked for where the digest is none.
func TestUnknownDigest(t *testing.T) {
	s := newScene(t)
	v := s.verifier(t, keys(t, map[string]signaturetest.Key{"a.pub": signaturetest.NewKey(t, "ecdsa")}))
	s.reg.Reset()
	for _, digest := range []string{"", "1.0.0", "sha256:../../x", "sha512:" + strings.Repeat("0", 128)} {
		verdict, err := v.Verify(t.Context(), s.open(t), s.img, digest)
		if err == nil || verdict.Passed() || verdict.Reason() != "" {
			t.Errorf("%q: got the verdict %+v and the error %v", digest, verdict, err)
		}
	}
	if n := len(s.reg.Requests()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}
