// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"encoding/json"
	"testing"

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

// scene is a registry with an image "app", whose signatures are asked for.
type scene struct {
	reg    *registrytest.Registry
	client *registry.Client
	img    image.Name
	app    signaturetest.Descriptor
	other  signaturetest.Descriptor // another image of the repository
	api    bool                     // the registry has the API for referrers
}

func newScene(t testing.TB, opts ...registrytest.Option) *scene {
	t.Helper()
	reg := registrytest.Start(t, opts...)
	img, err := image.Parse(reg.Image("app"), false)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	s := &scene{reg: reg, img: img, client: registry.NewClient(registry.WithRateLimits(ratelimit.Config{}))}
	t.Cleanup(s.client.Close)
	s.app, s.other = s.push(t, "1.0.0"), s.push(t, "2.0.0")
	return s
}

// open opens the repository of the image.
func (s *scene) open(t testing.TB) *registry.Repository {
	repo := s.client.Open(registry.Access{Image: s.img})
	t.Cleanup(repo.Close)
	return repo
}

// push pushes an image, and returns how its signatures refer to it.
func (s *scene) push(t testing.TB, tag string) signaturetest.Descriptor {
	t.Helper()
	digest := s.reg.Push(t, "app", tag)
	m, err := s.open(t).Manifest(t.Context(), digest)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return signaturetest.Descriptor{MediaType: m.MediaType, Digest: digest, Size: len(m.Bytes)}
}

// verifier returns the Verifier of a rule.
func (s *scene) verifier(t testing.TB, rule Rule) *Verifier {
	t.Helper()
	v, err := New(rule, nil)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return v
}

// pushSignatures pushes legacy signatures of the image.
func (s *scene) pushSignatures(t testing.TB, signatures ...signaturetest.Signature) {
	t.Helper()
	signaturetest.PushSignatures(t, s.reg, "app", s.app.Digest, signatures...)
}

// pushBundle pushes a bundle that refers to the image.
func (s *scene) pushBundle(t testing.TB, bundle []byte) signaturetest.Descriptor {
	t.Helper()
	return signaturetest.PushBundle(t, s.reg, "app", s.app, bundle, signaturetest.SignPredicate)
}

// keys returns the rule for some keys.
func keys(t testing.TB, by map[string]signaturetest.Key) Rule {
	t.Helper()
	pem := map[string][]byte{}
	for name, key := range by {
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

// identities returns the rule for identities of a Sigstore.
func identities(t testing.TB, sigstore signaturetest.Sigstore, anyOf ...v1.OIDCIdentityMatch) Rule {
	t.Helper()
	if anyOf == nil {
		anyOf = []v1.OIDCIdentityMatch{{Issuer: "^https://issuer\\.example$", Subject: "^release@example\\.com$"}}
	}
	verify := v1.ImageVerification{Provider: v1.VerifyCosign, MatchOIDCIdentity: anyOf, TrustedRootSecretRef: secretRef}
	return ruleOf(t, verify, map[string][]byte{trustedRootKey: sigstore.TrustedRoot(t, signaturetest.Parts{})})
}

// verify returns the verdict about the image, which there must be.
func (s *scene) verify(t testing.TB, v *Verifier) Verdict {
	t.Helper()
	g := NewWithT(t)
	verdict, err := v.Verify(t.Context(), s.open(t), s.img, s.app.Digest)
	g.Expect(err).NotTo(HaveOccurred(), "there is no verdict")
	g.Expect(verdict.Passed()).NotTo(Equal(verdict.Reason() != ""), "passed is %v, and the reason %q", verdict.Passed(), verdict.Reason())
	return verdict
}

// attack is what is pushed beside an image that must not let it pass.
type attack struct {
	reason string
	attack func(*testing.T, *scene)
	want   string // what the reason of the rejection contains
}

// checkAttacks checks that no attack lets an image pass by a rule, nor costs more than
// a number of requests.
func checkAttacks(t *testing.T, cases map[string]attack, rule Rule, requests int) {
	t.Helper()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScene(t, registrytest.WithReferrers())
			tc.attack(t, s)
			s.reg.Reset()
			got := s.verify(t, s.verifier(t, rule))
			g.Expect(got.Passed()).To(BeFalse(), tc.reason)
			g.Expect(got.Reason()).To(ContainSubstring(tc.want), tc.reason)
			g.Expect(s.reg.Count(registrytest.Any)).To(BeNumerically("<=", requests), "%s: the requests that it cost", tc.reason)
		})
	}
}

// statement returns the statement that an image is signed.
func statement(image signaturetest.Descriptor) []byte {
	return signaturetest.Statement(image.Digest, signaturetest.SignPredicate)
}

// list makes the registry list some referrers of the image, and no others.
func (s *scene) list(t testing.TB, referrers ...signaturetest.Descriptor) {
	t.Helper()
	s.reg.Inject(registrytest.Referrers, registrytest.Status(404, ""))
	signaturetest.PushReferrerTag(t, s.reg, "app", s.app.Digest, referrers...)
}

// parse returns the parts of some JSON.
func parse(t testing.TB, text []byte) map[string]any {
	t.Helper()
	var parts map[string]any
	NewWithT(t).Expect(json.Unmarshal(text, &parts)).To(Succeed())
	return parts
}

// sumOf returns the digest of an image as bytes.
func sumOf(image signaturetest.Descriptor) []byte { return subject{digest: image.Digest}.hash() }
