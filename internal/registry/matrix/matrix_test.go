// SPDX-License-Identifier: Apache-2.0

// Package matrix tests every operation of the registry client with the persona of every registry
// product, and counts the requests. The resulting table is a part of docs/guides/registries.md.
package matrix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/authn"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/signature"
	"github.com/fluxcd/image-reflector-controller/internal/signature/signaturetest"
	"github.com/fluxcd/image-reflector-controller/internal/test/page"
)

// manyTags is the number of tags in the long list.
const manyTags = 2500

// operations are the operations of the client in the order of their execution: the first one runs
// without caches.
var operations = []struct {
	name string
	run  func(context.Context, *fixture, *registry.Repository) error
}{
	{"first scan", func(ctx context.Context, f *fixture, repo *registry.Repository) error {
		list, err := repo.List(ctx, "")
		f.fingerprint = list.Fingerprint
		return errors.Join(err, checkEqual("tags", sorted(list.Tags), f.tags))
	}},
	{"next scan", func(ctx context.Context, f *fixture, repo *registry.Repository) error {
		list, err := repo.List(ctx, f.fingerprint)
		return errors.Join(err, checkEqual("unchanged", list.Unchanged, f.stable))
	}},
	{"digest", func(ctx context.Context, f *fixture, repo *registry.Repository) error {
		digest, err := repo.Digest(ctx, "1.1.0")
		return errors.Join(err, checkEqual("digest", digest, f.digest))
	}},
	{"is a tag there", func(ctx context.Context, _ *fixture, repo *registry.Repository) error {
		found, err := repo.Exists(ctx, "1.1.0")
		return errors.Join(err, checkEqual("found", found, true))
	}},
	{"is a tag gone", func(ctx context.Context, _ *fixture, repo *registry.Repository) error {
		found, err := repo.Exists(ctx, "9.9.9")
		return errors.Join(err, checkEqual("found", found, false))
	}},
	{"manifest", func(ctx context.Context, f *fixture, repo *registry.Repository) error {
		manifest, err := repo.Manifest(ctx, "1.1.0")
		return errors.Join(err, checkEqual("digest of the manifest", manifest.Digest, f.digest))
	}},
	{"blob", func(ctx context.Context, f *fixture, repo *registry.Repository) error {
		blob, err := repo.Blob(ctx, f.config, 1<<20)
		return errors.Join(err, checkEqual("valid JSON", json.Valid(blob), true))
	}},
	{"referrers", func(ctx context.Context, f *fixture, repo *registry.Repository) error {
		found, err := repo.Referrers(ctx, f.digest)
		return errors.Join(err, checkEqual("number of referrers", len(found), f.referrers))
	}},
	{"signature", func(ctx context.Context, f *fixture, repo *registry.Repository) error {
		verdict, err := f.verifier.Verify(ctx, repo, f.image, f.digest, time.Now())
		return errors.Join(err, checkEqual("passed", verdict.Passed(), true))
	}},
	{strconv.Itoa(manyTags) + " tags", func(ctx context.Context, f *fixture, _ *registry.Repository) error {
		repo := f.open(f.long)
		defer repo.Close()
		list, err := repo.List(ctx, "")
		return errors.Join(err, checkEqual("number of tags", len(list.Tags), manyTags))
	}},
}

// unsupported are operations that fail with a product, with the reason.
var unsupported = map[string]map[string]string{
	"Artifactory": {"is a tag gone": "Artifactory answers 403 both to a tag that is missing and to one that the client may not read " +
		"(sigstore/cosign#2973). So a policy whose tag was removed keeps it, and reports `AuthenticationFailed`."},
}

// checkEqual returns an error if got differs from want.
func checkEqual[T any](subject string, got, want T) error {
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		return fmt.Errorf("%s: got %s, want %s", subject, g, w)
	}
	return nil
}

func sorted(tags []string) []string {
	tags = slices.Clone(tags)
	slices.Sort(tags)
	return tags
}

// logins are the authentication methods, with the credentials of a product.
var logins = []struct {
	name   string
	accept func(registrytest.Product) (authn.AuthConfig, bool)
}{
	{"anonymous", func(p registrytest.Product) (authn.AuthConfig, bool) { return authn.AuthConfig{}, p.Anonymous }},
	{"password", func(p registrytest.Product) (authn.AuthConfig, bool) {
		return p.Password, p.Password != authn.AuthConfig{}
	}},
	{"identity token", func(p registrytest.Product) (authn.AuthConfig, bool) {
		return p.IdentityToken, p.IdentityToken != authn.AuthConfig{}
	}},
}

// fixture is a product with images, and a client with one login, including the Secrets of the
// ImageRepository and a proxy.
type fixture struct {
	fakes       *registrytest.FakeRegistries
	client      *registry.Client
	resolver    *credentials.Resolver
	repo        *v1.ImageRepository
	image, long image.Name
	verifier    *signature.Verifier

	tags           []string
	digest, config string
	referrers      int
	stable         bool // equal lists have equal bytes
	fingerprint    registry.Fingerprint
}

// newFixture starts a product and pushes its images.
func newFixture(t *testing.T, p registrytest.Product, login authn.AuthConfig) *fixture {
	t.Helper()
	f := &fixture{fakes: registrytest.StartFakeRegistries(t), client: registry.NewClient(registry.WithRateLimits(ratelimit.Config{})), stable: true}
	t.Cleanup(f.client.Close)
	f.image, f.long = parseName(t, p.Host+"/"+p.Repository), parseName(t, p.Host+"/"+p.Repository+"-long")
	f.push(t, p)
	f.setCredentials(t, p, login)
	f.fakes.Reset()
	return f
}

func parseName(t *testing.T, name string) image.Name {
	t.Helper()
	img, err := image.Parse(name, false)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return img
}

// push pushes two tags, one of them signed, and a long list of tags.
func (f *fixture) push(t *testing.T, p registrytest.Product) {
	t.Helper()
	g := NewWithT(t)
	reg, key := f.fakes.Registry(p.Host), signaturetest.NewKey(t, "ecdsa")
	reg.Push(t, p.Repository, "1.0.0")
	f.digest = reg.Push(t, p.Repository, "1.1.0")
	manifest := reg.Manifest(t, p.Repository, f.digest)
	var parsed struct{ Config struct{ Digest string } }
	g.Expect(json.Unmarshal(manifest, &parsed)).To(Succeed())
	f.config, f.tags = parsed.Config.Digest, []string{"1.0.0", "1.1.0"}
	if p.Referrers {
		subject := signaturetest.Image(f.digest, len(manifest))
		bundle := key.Bundle(t, signaturetest.Statement(f.digest, signaturetest.SignPredicate))
		signaturetest.PushBundle(t, reg, p.Repository, subject, bundle, signaturetest.SignPredicate)
		f.referrers = 1
	} else {
		signaturetest.PushSignatures(t, reg, p.Repository, f.digest, key.Sign(t, signaturetest.Payload(f.digest)))
		f.tags = append(f.tags, signaturetest.SignatureTag(f.digest))
	}
	many := make([]string, manyTags)
	for i := range many {
		many[i] = fmt.Sprintf("1.0.%d", i)
	}
	reg.PushTags(t, p.Repository+"-long", many...)
	verify := &v1.ImageVerification{SecretRef: &meta.LocalObjectReference{Name: "cosign"}}
	rule, err := signature.RuleOf(verify, map[string][]byte{"cosign.pub": key.PublicPEM(t)})
	if err == nil {
		f.verifier, err = signature.New(rule, nil)
	}
	g.Expect(err).NotTo(HaveOccurred())
}

// setCredentials creates the Secrets and the ImageRepository that references them.
func (f *fixture) setCredentials(t *testing.T, p registrytest.Product, login authn.AuthConfig) {
	t.Helper()
	g := NewWithT(t)
	certificate, err := os.ReadFile(f.fakes.CertFile(t))
	g.Expect(err).NotTo(HaveOccurred())
	f.repo = &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
	f.repo.Spec = v1.ImageRepositorySpec{
		Image:          f.image.String(),
		CertSecretRef:  &meta.LocalObjectReference{Name: "certs"},
		ProxySecretRef: &meta.LocalObjectReference{Name: "proxy"},
	}
	objects := []client.Object{
		secret("certs", map[string][]byte{"ca.crt": certificate}),
		secret("proxy", map[string][]byte{"address": []byte(f.fakes.Proxy().String())}),
	}
	if login != (authn.AuthConfig{}) {
		config, err := json.Marshal(map[string]any{"auths": map[string]any{p.Host: map[string]string{
			"username": login.Username, "password": login.Password, "identitytoken": login.IdentityToken,
		}}})
		g.Expect(err).NotTo(HaveOccurred())
		objects = append(objects, secret("login", map[string][]byte{corev1.DockerConfigJsonKey: config}))
		f.repo.Spec.SecretRef = &meta.LocalObjectReference{Name: "login"}
	}
	f.resolver = credentials.NewResolver(fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).Build())
}

func secret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}, Data: data}
}

func (f *fixture) open(img image.Name) *registry.Repository {
	return f.client.Open(registry.Access{Image: img, Auth: func(ctx context.Context) (registry.AuthOptions, error) {
		return registry.NewAuthOptionsGetter(f.resolver).AuthOptions(ctx, f.repo)
	}})
}

// TestMatrix_MatchesDocumentation runs every operation with every product and login, and compares
// the table of request counts with the documentation.
func TestMatrix_MatchesDocumentation(t *testing.T) {
	var table bytes.Buffer
	table.WriteString("| registry | login |")
	for _, operation := range operations {
		table.WriteString(" " + operation.name + " |")
	}
	table.WriteString("\n|---|---|" + string(bytes.Repeat([]byte("---|"), len(operations))) + "\n")
	for _, p := range registrytest.Products() {
		for _, login := range logins {
			if config, accepted := login.accept(p); accepted {
				t.Run(p.Name+"/"+login.name, func(t *testing.T) {
					fmt.Fprintf(&table, "| %s | %s |%s\n", p.Name, login.name, row(t, p, config))
				})
			}
		}
	}
	for product, operations := range unsupported {
		for _, reason := range operations {
			fmt.Fprintf(&table, "\n[^%s]: %s\n", footnote(product), reason)
		}
	}
	t.Log("\n" + table.String())
	if !t.Failed() {
		page.Generated(t, "../../../docs/guides/registries.md", "registries", table.String())
	}
}

// row runs the operations, and returns the cells with their request counts.
func row(t *testing.T, p registrytest.Product, login authn.AuthConfig) string {
	g := NewWithT(t)
	f, cells := newFixture(t, p, login), ""
	for _, operation := range operations {
		f.fakes.Reset()
		repo := f.open(f.image)
		err, note := operation.run(t.Context(), f, repo), ""
		if unsupported[p.Name][operation.name] != "" {
			note = " [^" + footnote(p.Name) + "]"
		}
		g.Expect(err != nil).To(Equal(note != ""), "%s: %v, after %s", operation.name, err, formatRequests(f.fakes))
		repo.Close()
		g.Expect(f.fakes.Leaks()).To(BeEmpty(), "%s: credentials were sent to other hosts", operation.name)
		cells += fmt.Sprintf(" %d%s |", len(f.fakes.Requests()), note)
	}
	return cells
}

// footnote returns the name of a product's footnote.
func footnote(product string) string { return strings.ToLower(product) }

// formatRequests formats the requests to the fake registries.
func formatRequests(fakes *registrytest.FakeRegistries) string {
	var all []string
	for _, r := range fakes.Requests() {
		all = append(all, r.Method+" "+r.Host+r.Path+"?"+r.Query)
	}
	return fmt.Sprintf("%q", all)
}
