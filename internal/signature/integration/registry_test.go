// SPDX-License-Identifier: Apache-2.0

// Package integration_test verifies signatures in a real registry, CNCF Distribution,
// which has no referrers API.
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

// binary is the path of the registry's executable.
var binary = os.Getenv(testenv.RegistryVariable)

func TestMain(m *testing.M) {
	if _, err := os.Stat(binary); err != nil {
		fmt.Fprintf(os.Stderr, `the integration tests can't run: %[1]s is '%[2]s': %[3]v
They start a real registry, which make builds: run "make test", or
	make bin/registry
	export %[1]s="$PWD/bin/registry"
in the root of the repository, and then rerun this
`, testenv.RegistryVariable, binary, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// start starts a registry, which stops when the test ends, and returns its host and port.
func start(t *testing.T) signaturetest.Remote {
	t.Helper()
	server := &testenv.Registry{Binary: binary, Dir: t.TempDir()}
	NewWithT(t).Expect(server.Start(t.Context())).To(Succeed())
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("failed to stop the registry: %v", err)
		}
	})
	return signaturetest.Remote(server.Host())
}

// fixture is a registry with the repository "team/app".
type fixture struct {
	store  signaturetest.Remote
	client *registry.Client
	img    image.Name
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	store := start(t)
	img, err := image.Parse(string(store)+"/team/app", true)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	f := &fixture{store: store, img: img, client: registry.NewClient()}
	t.Cleanup(f.client.Close)
	return f
}

// push pushes an image with a digest of its own.
func (f *fixture) push(t *testing.T, tag string) signaturetest.Descriptor {
	t.Helper()
	config := f.store.PushBlob(t, "team/app", fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"tag":%q}}}`, tag))
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":1},"layers":[]}`,
		signaturetest.ManifestType, config)
	return signaturetest.Image(f.store.PushManifest(t, "team/app", tag, signaturetest.ManifestType, manifest), len(manifest))
}

// verify returns the verdict about an image.
func (f *fixture) verify(t *testing.T, rule signature.Rule, app signaturetest.Descriptor) signature.Verdict {
	t.Helper()
	g := NewWithT(t)
	v, err := signature.New(rule, nil)
	g.Expect(err).NotTo(HaveOccurred())
	repo := f.client.Open(registry.Access{Image: f.img})
	defer repo.Close()
	verdict, err := v.Verify(t.Context(), repo, f.img, app.Digest, time.Now())
	g.Expect(err).NotTo(HaveOccurred())
	return verdict
}

func verificationRuleOf(t *testing.T, verify v1.ImageVerification, data map[string][]byte) signature.Rule {
	t.Helper()
	rule, err := signature.RuleOf(&verify, data)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return rule
}

// TestVerify_WorksWithRealRegistry tests each kind of signature in a real registry: its own
// image passes, and no other.
func TestVerify_WorksWithRealRegistry(t *testing.T) {
	const repo, subject, issuer = "team/app", "release@example.com", "https://issuer.example"
	f, key, sigstore := newFixture(t), signaturetest.NewKey(t, "ecdsa"), signaturetest.NewSigstore(t)
	notary := signaturetest.NewNotary(t, signaturetest.CertificateOptions{Name: "release"})
	ref := &meta.LocalObjectReference{Name: "signers"}
	byKey := verificationRuleOf(t, v1.ImageVerification{Provider: v1.VerifyCosign, SecretRef: ref}, map[string][]byte{"cosign.pub": key.PublicPEM(t)})
	byIdentity := verificationRuleOf(t, v1.ImageVerification{
		Provider: v1.VerifyCosign, TrustedRootSecretRef: ref,
		MatchOIDCIdentity: []v1.OIDCIdentityMatch{{Issuer: "^https://issuer\\.example$", Subject: "^release@"}},
	}, map[string][]byte{"trusted_root.json": sigstore.TrustedRoot(t, signaturetest.RootOptions{})})
	byPolicy := verificationRuleOf(t, v1.ImageVerification{Provider: v1.VerifyNotation, SecretRef: ref}, map[string][]byte{
		"trustpolicy.json": signaturetest.TrustPolicy(t, "strict", "*"), "ca.crt": notary.PEM(),
	})
	statement := func(app signaturetest.Descriptor) []byte {
		return signaturetest.Statement(app.Digest, signaturetest.SignPredicate)
	}
	cases := map[string]struct {
		rule signature.Rule
		// sign pushes a signature of the image signed as a signature of app.
		sign func(app, signed signaturetest.Descriptor)
	}{
		"LegacyKey": {rule: byKey, sign: func(app, signed signaturetest.Descriptor) {
			signaturetest.PushSignatures(t, f.store, repo, app.Digest, key.Sign(t, signaturetest.Payload(signed.Digest)))
		}},
		"LegacyIdentity": {rule: byIdentity, sign: func(app, signed signaturetest.Descriptor) {
			signaturetest.PushSignatures(t, f.store, repo, app.Digest, sigstore.Sign(t, subject, issuer, signaturetest.Payload(signed.Digest), 5*time.Minute))
		}},
		"BundleKey": {rule: byKey, sign: func(app, signed signaturetest.Descriptor) {
			signaturetest.PushReferrerTag(t, f.store, repo, app.Digest, signaturetest.PushBundle(t, f.store, repo, app, key.Bundle(t, statement(signed)), signaturetest.SignPredicate))
		}},
		"BundleIdentity": {rule: byIdentity, sign: func(app, signed signaturetest.Descriptor) {
			bundle := sigstore.Bundle(t, subject, issuer, statement(signed), 5*time.Minute)
			signaturetest.PushReferrerTag(t, f.store, repo, app.Digest, signaturetest.PushBundle(t, f.store, repo, app, bundle, signaturetest.SignPredicate))
		}},
		"Notation": {rule: byPolicy, sign: func(app, signed signaturetest.Descriptor) {
			signaturetest.PushReferrerTag(t, f.store, repo, app.Digest, signaturetest.PushEnvelope(t, f.store, repo, app, notary.Sign(t, signed, 0)))
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			signed, unsigned, forged := f.push(t, name+"-signed"), f.push(t, name+"-unsigned"), f.push(t, name+"-forged")
			tc.sign(signed, signed)
			tc.sign(forged, signed)
			NewWithT(t).Expect(f.verify(t, tc.rule, signed)).To(HaveField("Passed()", BeTrue()))
			NewWithT(t).Expect(f.verify(t, tc.rule, unsigned)).To(And(HaveField("Passed()", BeFalse()), HaveField("Reason()", HavePrefix("it has no"))))
			NewWithT(t).Expect(f.verify(t, tc.rule, forged)).To(And(HaveField("Passed()", BeFalse()), HaveField("Reason()", ContainSubstring("of another image"))))
		})
	}
}
