// SPDX-License-Identifier: Apache-2.0

// Package integration_test verifies signatures on a real registry, CNCF
// Distribution, which has no API for referrers.
package integration_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/hack/testenv"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
)

// binary is the program of the registry.
var binary = os.Getenv(testenv.RegistryVariable)

func TestMain(m *testing.M) {
	if _, err := os.Stat(binary); err != nil {
		fmt.Fprintf(os.Stderr, `the integration tests can't run: %[1]s is '%[2]s': %[3]v
They start a real registry, which make builds: run "make test", or
	make bin/registry
	export %[1]s="$PWD/bin/registry"
in the root of the repository, and then this again
`, testenv.RegistryVariable, binary, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// start starts a registry that runs until the test ends, and returns its host
// and port.
func start(t *testing.T) signaturetest.Remote {
	t.Helper()
	server := &testenv.Registry{Binary: binary, Dir: t.TempDir()}
	NewWithT(t).Expect(server.Start(t.Context())).To(Succeed())
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("the registry did not stop well: %v", err)
		}
	})
	return signaturetest.Remote(server.Host())
}

// scene is a registry with the images of a team.
type scene struct {
	store  signaturetest.Remote
	client *registry.Client
	img    image.Name
}

func newScene(t *testing.T) *scene {
	t.Helper()
	store := start(t)
	img, err := image.Parse(string(store)+"/team/app", true)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	s := &scene{store: store, img: img, client: registry.NewClient()}
	t.Cleanup(s.client.Close)
	return s
}

// push pushes an image that no other is equal to.
func (s *scene) push(t *testing.T, tag string) signaturetest.Descriptor {
	t.Helper()
	config := s.store.PushBlob(t, "team/app", fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"tag":%q}}}`, tag))
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":1},"layers":[]}`,
		signaturetest.ManifestType, config)
	return signaturetest.Image(s.store.PushManifest(t, "team/app", tag, signaturetest.ManifestType, manifest), len(manifest))
}

// verify returns the verdict about an image.
func (s *scene) verify(t *testing.T, rule signature.Rule, app signaturetest.Descriptor) signature.Verdict {
	t.Helper()
	g := NewWithT(t)
	v, err := signature.New(rule, nil)
	g.Expect(err).NotTo(HaveOccurred())
	repo := s.client.Open(registry.Access{Image: s.img})
	defer repo.Close()
	verdict, err := v.Verify(t.Context(), repo, s.img, app.Digest)
	g.Expect(err).NotTo(HaveOccurred())
	return verdict
}

func ruleOf(t *testing.T, verify v1.ImageVerification, data map[string][]byte) signature.Rule {
	t.Helper()
	rule, err := signature.RuleOf(&verify, data)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return rule
}

// TestVerify_WorksWithRealRegistry tests each kind of signature on a real registry: it lets its
// own image pass, and no other.
func TestVerify_WorksWithRealRegistry(t *testing.T) {
	const repo, subject, issuer = "team/app", "release@example.com", "https://issuer.example"
	s, key, sigstore := newScene(t), signaturetest.NewKey(t, "ecdsa"), signaturetest.NewSigstore(t)
	notary := signaturetest.NewNotary(t, signaturetest.Terms{Name: "release"})
	ref := &meta.LocalObjectReference{Name: "signers"}
	byKey := ruleOf(t, v1.ImageVerification{Provider: v1.VerifyCosign, SecretRef: ref}, map[string][]byte{"cosign.pub": key.PublicPEM(t)})
	byIdentity := ruleOf(t, v1.ImageVerification{
		Provider: v1.VerifyCosign, TrustedRootSecretRef: ref,
		MatchOIDCIdentity: []v1.OIDCIdentityMatch{{Issuer: "^https://issuer\\.example$", Subject: "^release@"}},
	}, map[string][]byte{"trusted_root.json": sigstore.TrustedRoot(t, signaturetest.Parts{})})
	byPolicy := ruleOf(t, v1.ImageVerification{Provider: v1.VerifyNotation, SecretRef: ref}, map[string][]byte{
		"trustpolicy.json": signaturetest.TrustPolicy(t, "strict", "*"), "ca.crt": notary.PEM(),
	})
	stated := func(app signaturetest.Descriptor) []byte {
		return signaturetest.Statement(app.Digest, signaturetest.SignPredicate)
	}
	cases := map[string]struct {
		rule signature.Rule
		// sign has what is signed pass for a signature of app.
		sign func(app, of signaturetest.Descriptor)
	}{
		"LegacyKey": {rule: byKey, sign: func(app, of signaturetest.Descriptor) {
			signaturetest.PushSignatures(t, s.store, repo, app.Digest, key.Sign(t, signaturetest.Payload(of.Digest)))
		}},
		"LegacyIdentity": {rule: byIdentity, sign: func(app, of signaturetest.Descriptor) {
			signaturetest.PushSignatures(t, s.store, repo, app.Digest, sigstore.Sign(t, subject, issuer, signaturetest.Payload(of.Digest), 5*time.Minute))
		}},
		"BundleKey": {rule: byKey, sign: func(app, of signaturetest.Descriptor) {
			signaturetest.PushReferrerTag(t, s.store, repo, app.Digest, signaturetest.PushBundle(t, s.store, repo, app, key.Bundle(t, stated(of)), signaturetest.SignPredicate))
		}},
		"BundleIdentity": {rule: byIdentity, sign: func(app, of signaturetest.Descriptor) {
			bundle := sigstore.Bundle(t, subject, issuer, stated(of), 5*time.Minute)
			signaturetest.PushReferrerTag(t, s.store, repo, app.Digest, signaturetest.PushBundle(t, s.store, repo, app, bundle, signaturetest.SignPredicate))
		}},
		"Notation": {rule: byPolicy, sign: func(app, of signaturetest.Descriptor) {
			signaturetest.PushReferrerTag(t, s.store, repo, app.Digest, signaturetest.PushEnvelope(t, s.store, repo, app, notary.Sign(t, of, 0)))
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			signed, unsigned, forged := s.push(t, name+"-signed"), s.push(t, name+"-unsigned"), s.push(t, name+"-forged")
			tc.sign(signed, signed)
			tc.sign(forged, signed)
			NewWithT(t).Expect(s.verify(t, tc.rule, signed)).To(HaveField("Passed()", BeTrue()))
			NewWithT(t).Expect(s.verify(t, tc.rule, unsigned)).To(And(HaveField("Passed()", BeFalse()), HaveField("Reason()", HavePrefix("it has no"))))
			NewWithT(t).Expect(s.verify(t, tc.rule, forged)).To(And(HaveField("Passed()", BeFalse()), HaveField("Reason()", ContainSubstring("of another image"))))
		})
	}
}
