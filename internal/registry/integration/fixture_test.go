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

// scene is an ImageRepository with its Secrets, and what reads its registry.
type scene struct {
	t    *testing.T
	k8s  client.Client
	auth registry.AuthOptionsGetter
	reg  *registry.Client
	repo *v1.ImageRepository
}

// newScene returns a scene around the image "team/app" of a host.
func newScene(t *testing.T, host string, secrets ...*corev1.Secret) *scene {
	t.Helper()
	s := &scene{t: t, k8s: fake.NewClientBuilder().WithScheme(scheme.Scheme).Build(), reg: registry.NewClient()}
	t.Cleanup(s.reg.Close)
	s.auth = registry.NewAuthOptionsGetter(credentials.NewResolver(s.k8s))
	s.repo = &v1.ImageRepository{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "app"}}
	s.repo.Spec.Image = host + "/team/app"
	for _, secret := range secrets {
		NewWithT(t).Expect(s.k8s.Create(t.Context(), secret)).To(Succeed())
		ref := &meta.LocalObjectReference{Name: secret.Name}
		switch secret.Name {
		case "login":
			s.repo.Spec.SecretRef = ref
		case "certs":
			s.repo.Spec.CertSecretRef = ref
		case "proxy":
			s.repo.Spec.ProxySecretRef = ref
		}
	}
	return s
}

// read lists the tags and looks at one of them, as the two reconcilers do.
func (s *scene) read() ([]string, string, error) {
	s.t.Helper()
	g := NewWithT(s.t)
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	img, err := image.Parse(s.repo.Spec.Image, s.repo.Spec.Insecure)
	g.Expect(err).NotTo(HaveOccurred())
	repo := s.reg.Open(registry.Access{Image: img, Auth: func(ctx context.Context) (registry.AuthOptions, error) {
		return s.auth.AuthOptions(ctx, s.repo)
	}})
	defer repo.Close()
	list, err := repo.List(ctx, "")
	if err != nil {
		return nil, "", err
	}
	g.Expect(repo.Exists(ctx, "9.9.9")).To(BeFalse(), "found a tag that is not there")
	digest, err := repo.Digest(ctx, "1.1.0")
	return list.Tags, digest, err
}

// succeeds checks that tags and a digest can be read.
func (s *scene) succeeds(want *server) {
	s.t.Helper()
	tags, digest, err := s.read()
	if diff := cmp.Diff([]string{"1.0.0", "1.1.0"}, tags); err != nil || diff != "" || digest != want.digest {
		s.t.Errorf("got the digest %s, want %s, error %v, tags -want +got:\n%s", digest, want.digest, err, diff)
	}
}

// fails checks that nothing can be read, for a reason that is told without
// telling a secret, and is told in the same way the next time.
func (s *scene) fails(reason string, words ...string) {
	s.t.Helper()
	g := NewWithT(s.t)
	texts := map[string]bool{}
	for range 2 {
		_, _, err := s.read()
		var failure *registry.Error
		g.Expect(errors.As(err, &failure)).To(BeTrue(), "got %v, want the reason", err)
		g.Expect(failure.Reason()).To(Equal(reason), "got %v, want the reason", err)
		for _, word := range words {
			g.Expect(err.Error()).To(ContainSubstring(word), "%q is missing in: %v", word, err)
		}
		for _, secret := range []string{password, "BEGIN"} {
			g.Expect(fmt.Sprintf("%v %+v", err, errors.Unwrap(err))).NotTo(ContainSubstring(secret), "the error holds a secret: %v", err)
		}
		texts[err.Error()] = true
	}
	g.Expect(texts).To(HaveLen(1), "the text changes from try to try")
}

// change changes a Secret, which counts from the next request on.
func (s *scene) change(secret *corev1.Secret) {
	s.t.Helper()
	g := NewWithT(s.t)
	old := &corev1.Secret{}
	g.Expect(s.k8s.Get(s.t.Context(), client.ObjectKeyFromObject(secret), old)).To(Succeed())
	old.Data = secret.Data
	g.Expect(s.k8s.Update(s.t.Context(), old)).To(Succeed())
}

func secretOf(name string, data map[string]string) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: name}, Data: map[string][]byte{}}
	for key, value := range data {
		secret.Data[key] = []byte(value)
	}
	return secret
}

// login returns the Secret "login" for a registry.
func login(host, password string) *corev1.Secret {
	return secretOf("login", map[string]string{
		corev1.DockerConfigJsonKey: fmt.Sprintf(`{"auths":{%q:{"username":%q,"password":%q}}}`, host, username, password),
	})
}

// certs returns the Secret "certs" with an authority, and a client certificate
// where there is one.
func certs(t *testing.T, authority registrytest.Certificate, clients ...registrytest.Certificate) *corev1.Secret {
	t.Helper()
	data := map[string]string{"ca.crt": string(authority.PEM())}
	for _, c := range clients {
		data["tls.crt"], data["tls.key"] = string(c.PEM()), string(c.KeyPEM(t))
	}
	return secretOf("certs", data)
}

// through returns the Secret "proxy" of a proxy.
func through(p *proxytest.Proxy, password string) *corev1.Secret {
	return secretOf("proxy", map[string]string{"address": p.Address(), "username": "proxy-user", "password": password})
}

// as are the credentials with which images are pushed.
func as() remote.Option {
	return remote.WithAuth(&authn.Basic{Username: username, Password: password})
}

// over is the transport with which images are pushed over TLS.
func over(authority registrytest.Certificate, clients ...registrytest.Certificate) remote.Option {
	return remote.WithTransport(tlsTransport(authority, clients...))
}

func tlsTransport(authority registrytest.Certificate, clients ...registrytest.Certificate) *http.Transport {
	config := &tls.Config{RootCAs: authority.Pool()}
	for _, c := range clients {
		config.Certificates = append(config.Certificates, c.TLS())
	}
	return &http.Transport{TLSClientConfig: config}
}
