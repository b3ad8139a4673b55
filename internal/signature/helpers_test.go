// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// The identity that signs in tests.
const (
	subjectName = "release@example.com"
	issuerName  = "https://issuer.example"
)

// fixture is a registry with an image "app", whose signatures are verified.
type fixture struct {
	reg    *registrytest.Registry
	client *registry.Client
	img    image.Name
	app    signaturetest.Descriptor
	other  signaturetest.Descriptor // another image of the repository
	api    bool                     // whether the registry has the referrers API
}

func newFixture(t testing.TB, opts ...registrytest.Option) *fixture {
	t.Helper()
	reg := registrytest.Start(t, opts...)
	img, err := image.Parse(reg.Image("app"), false)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	f := &fixture{reg: reg, img: img, client: registry.NewClient(registry.WithRateLimits(ratelimit.Config{}))}
	t.Cleanup(f.client.Close)
	f.app, f.other = f.push(t, "1.0.0"), f.push(t, "2.0.0")
	return f
}

// open opens the repository of the image.
func (f *fixture) open(t testing.TB) *registry.Repository {
	repo := f.client.Open(registry.Access{Image: f.img})
	t.Cleanup(repo.Close)
	return repo
}

// push pushes an image, and returns its descriptor.
func (f *fixture) push(t testing.TB, tag string) signaturetest.Descriptor {
	t.Helper()
	digest := f.reg.Push(t, "app", tag)
	m, err := f.open(t).Manifest(t.Context(), digest)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return signaturetest.Descriptor{MediaType: m.MediaType, Digest: digest, Size: len(m.Bytes)}
}

// verifier returns the Verifier of a rule.
func (f *fixture) verifier(t testing.TB, rule Rule) *Verifier {
	t.Helper()
	v, err := New(rule, nil)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return v
}

// pushSignatures pushes legacy signatures of the image.
func (f *fixture) pushSignatures(t testing.TB, signatures ...signaturetest.Signature) {
	t.Helper()
	signaturetest.PushSignatures(t, f.reg, "app", f.app.Digest, signatures...)
}

// pushBundle pushes a bundle that refers to the image.
func (f *fixture) pushBundle(t testing.TB, bundle []byte) signaturetest.Descriptor {
	t.Helper()
	return signaturetest.PushBundle(t, f.reg, "app", f.app, bundle, signaturetest.SignPredicate)
}

// keys returns the rule for public keys, by their names in the Secret.
func keys(t testing.TB, named map[string]signaturetest.Key) Rule {
	t.Helper()
	pem := map[string][]byte{}
	for name, key := range named {
		pem[name] = key.PublicPEM(t)
	}
	return ruleOf(t, v1.ImageVerification{Provider: v1.VerifyCosign, SecretRef: secretRef}, pem)
}

// secretRef refers to the Secret of a rule.
var secretRef = &meta.LocalObjectReference{Name: "signers"}

// ruleOf returns the rule of a policy, with the data of its Secret.
func ruleOf(t testing.TB, verify v1.ImageVerification, data map[string][]byte) Rule {
	t.Helper()
	rule, err := RuleOf(&verify, data)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return rule
}

// identities returns the rule for identities of a Sigstore, by default the one of the
// tests.
func identities(t testing.TB, sigstore signaturetest.Sigstore, anyOf ...v1.OIDCIdentityMatch) Rule {
	t.Helper()
	if anyOf == nil {
		anyOf = []v1.OIDCIdentityMatch{{Issuer: "^https://issuer\\.example$", Subject: "^release@example\\.com$"}}
	}
	verify := v1.ImageVerification{Provider: v1.VerifyCosign, MatchOIDCIdentity: anyOf, TrustedRootSecretRef: secretRef}
	return ruleOf(t, verify, map[string][]byte{trustedRootKey: sigstore.TrustedRoot(t, signaturetest.RootOptions{})})
}

// verify returns the verdict about the image. It fails the test if there is an error.
func (f *fixture) verify(t testing.TB, v *Verifier) Verdict {
	t.Helper()
	g := NewWithT(t)
	verdict, err := v.Verify(t.Context(), f.open(t), f.img, f.app.Digest, time.Now())
	g.Expect(err).NotTo(HaveOccurred(), "an error in place of a verdict")
	g.Expect(verdict.Passed()).NotTo(Equal(verdict.Reason() != ""), "passed is %v with the reason %q", verdict.Passed(), verdict.Reason())
	return verdict
}

// attack pushes content that must not let an image pass.
type attack struct {
	reason string
	attack func(*testing.T, *fixture)
	want   string // a part of the rejection's reason
}

// checkAttacks checks that a rule rejects the image after each attack, with at most the
// given number of requests.
func checkAttacks(t *testing.T, cases map[string]attack, rule Rule, requests int) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := newFixture(t, registrytest.WithReferrers())
			tc.attack(t, f)
			f.reg.Reset()
			got := f.verify(t, f.verifier(t, rule))
			g.Expect(got.Passed()).To(BeFalse(), tc.reason)
			g.Expect(got.Reason()).To(ContainSubstring(tc.want), tc.reason)
			g.Expect(f.reg.Count(registrytest.Any)).To(BeNumerically("<=", requests), "requests: %s", tc.reason)
		})
	}
}

// statement returns the statement that an image is signed.
func statement(image signaturetest.Descriptor) []byte {
	return signaturetest.Statement(image.Digest, signaturetest.SignPredicate)
}

// list makes the registry list exactly the given referrers of the image.
func (f *fixture) list(t testing.TB, referrers ...signaturetest.Descriptor) {
	t.Helper()
	f.reg.Inject(registrytest.Referrers, registrytest.Status(404, ""))
	signaturetest.PushReferrerTag(t, f.reg, "app", f.app.Digest, referrers...)
}

// parse parses a JSON object.
func parse(t testing.TB, text []byte) map[string]any {
	t.Helper()
	var parts map[string]any
	NewWithT(t).Expect(json.Unmarshal(text, &parts)).To(Succeed())
	return parts
}

// sumOf returns the digest of an image as bytes.
func sumOf(image signaturetest.Descriptor) []byte { return subject{digest: image.Digest}.hash() }
