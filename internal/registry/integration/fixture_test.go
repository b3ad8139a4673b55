// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
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
	"github.com/fluxcd/image-reflector-controller/internal/registry/proxytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// fixture is an ImageRepository with its Secrets, and a client for its registry.
type fixture struct {
	t    *testing.T
	k8s  client.Client
	auth registry.AuthOptionsGetter
	reg  *registry.Client
	repo *v1.ImageRepository
}

// newFixture returns a fixture for the image "team/app" on a host.
func newFixture(t *testing.T, host string, secrets ...*corev1.Secret) *fixture {
	t.Helper()
	f := &fixture{t: t, k8s: fake.NewClientBuilder().WithScheme(scheme.Scheme).Build(), reg: registry.NewClient()}
	t.Cleanup(f.reg.Close)
	f.auth = registry.NewAuthOptionsGetter(credentials.NewResolver(f.k8s))
	f.repo = &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
	f.repo.Spec.Image = host + "/team/app"
	for _, secret := range secrets {
		NewWithT(t).Expect(f.k8s.Create(t.Context(), secret)).To(Succeed())
		ref := &meta.LocalObjectReference{Name: secret.Name}
		switch secret.Name {
		case "login":
			f.repo.Spec.SecretRef = ref
		case "certs":
			f.repo.Spec.CertSecretRef = ref
		case "proxy":
			f.repo.Spec.ProxySecretRef = ref
		}
	}
	return f
}

// read reads the tags, and a missing and an existing tag, like the reconcilers.
func (f *fixture) read() ([]string, string, error) {
	f.t.Helper()
	g := NewWithT(f.t)
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	img, err := image.Parse(f.repo.Spec.Image, f.repo.Spec.Insecure)
	g.Expect(err).NotTo(HaveOccurred())
	repo := f.reg.Open(registry.Access{Image: img, Auth: func(ctx context.Context) (registry.AuthOptions, error) {
		return f.auth.AuthOptions(ctx, f.repo)
	}})
	defer repo.Close()
	list, err := repo.List(ctx, "")
	if err != nil {
		return nil, "", err
	}
	g.Expect(repo.Exists(ctx, "9.9.9")).To(BeFalse(), "found a missing tag")
	digest, err := repo.Digest(ctx, "1.1.0")
	return list.Tags, digest, err
}

// expectSuccess checks that the tags and a digest can be read.
func (f *fixture) expectSuccess(want *server) {
	f.t.Helper()
	tags, digest, err := f.read()
	if diff := cmp.Diff([]string{"1.0.0", "1.1.0"}, tags); err != nil || diff != "" || digest != want.digest {
		f.t.Errorf("got the digest %s, want %s, error %v, tags -want +got:\n%s", digest, want.digest, err, diff)
	}
}

// expectError checks that reading fails with a reason, and that the text of the error contains no
// secret and doesn't differ between attempts.
func (f *fixture) expectError(reason string, words ...string) {
	f.t.Helper()
	g := NewWithT(f.t)
	texts := map[string]bool{}
	for range 2 {
		_, _, err := f.read()
		var failure *registry.Error
		g.Expect(errors.As(err, &failure)).To(BeTrue(), "got error %v", err)
		g.Expect(failure.Reason()).To(Equal(reason), "got error %v", err)
		for _, word := range words {
			g.Expect(err.Error()).To(ContainSubstring(word), "%q is missing in: %v", word, err)
		}
		for _, secret := range []string{password, "BEGIN"} {
			g.Expect(fmt.Sprintf("%v %+v", err, errors.Unwrap(err))).NotTo(ContainSubstring(secret), "the error contains a secret: %v", err)
		}
		texts[err.Error()] = true
	}
	g.Expect(texts).To(HaveLen(1), "the text differs between attempts")
}

// updateSecret updates a Secret.
func (f *fixture) updateSecret(secret *corev1.Secret) {
	f.t.Helper()
	g := NewWithT(f.t)
	old := &corev1.Secret{}
	g.Expect(f.k8s.Get(f.t.Context(), client.ObjectKeyFromObject(secret), old)).To(Succeed())
	old.Data = secret.Data
	g.Expect(f.k8s.Update(f.t.Context(), old)).To(Succeed())
}

// newSecret returns a Secret in the namespace "apps".
func newSecret(name string, data map[string]string) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}, Data: map[string][]byte{}}
	for key, value := range data {
		secret.Data[key] = []byte(value)
	}
	return secret
}

// login returns the Secret "login" for a registry.
func login(host, password string) *corev1.Secret {
	return newSecret("login", map[string]string{
		corev1.DockerConfigJsonKey: fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q}}}`, host, username, password),
	})
}

// certs returns the Secret "certs" with a certificate authority and, optionally, a client
// certificate.
func certs(t *testing.T, authority registrytest.Certificate, clients ...registrytest.Certificate) *corev1.Secret {
	t.Helper()
	data := map[string]string{"ca.crt": string(authority.PEM())}
	for _, c := range clients {
		data["tls.crt"], data["tls.key"] = string(c.PEM()), string(c.KeyPEM(t))
	}
	return newSecret("certs", data)
}

// proxySecret returns the Secret "proxy" of a proxy.
func proxySecret(p *proxytest.Proxy, password string) *corev1.Secret {
	return newSecret("proxy", map[string]string{"address": p.Address(), "username": "proxy-user", "password": password})
}

// withPassword returns the option to push images with the password.
func withPassword() remote.Option {
	return remote.WithAuth(&authn.Basic{Username: username, Password: password})
}

// withTLS returns the option to push images over TLS.
func withTLS(authority registrytest.Certificate, clients ...registrytest.Certificate) remote.Option {
	return remote.WithTransport(tlsTransport(authority, clients...))
}

func tlsTransport(authority registrytest.Certificate, clients ...registrytest.Certificate) *http.Transport {
	config := &tls.Config{RootCAs: authority.Pool()}
	for _, c := range clients {
		config.Certificates = append(config.Certificates, c.TLS())
	}
	return &http.Transport{TLSClientConfig: config}
}
