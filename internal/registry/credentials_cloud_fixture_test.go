// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fluxcd/pkg/auth"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/credentials"
	"github.com/fluxcd/image-reflector-controller/internal/registry/proxytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// The images of the tests of clouds, one for each provider.
const (
	imageAWS   = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app"
	imageAzure = "contoso.azurecr.io/app"
	imageGCP   = "europe-docker.pkg.dev/project/repo/app"
)

// clouds are the addresses of all clouds, as they are behind a proxy: the real
// libraries speak to them, and get answers made up here.
type clouds struct {
	proxy *proxytest.Proxy

	mu      sync.Mutex
	asked   []string // "host path"
	answers map[string]http.HandlerFunc
}

// startClouds starts the clouds. Their certificate is trusted by the default
// transport, of which the library makes its own, until the test ends.
func startClouds(t *testing.T) *clouds {
	t.Helper()
	c := &clouds{answers: cloudAnswers()}
	server := httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	authority := registrytest.NewAuthority(t)
	cert := authority.Server(t, slices.Collect(maps.Keys(c.answers))...)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}
	server.Config.ErrorLog = discard
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := http.DefaultTransport.(*http.Transport)
	before := transport.TLSClientConfig
	transport.TLSClientConfig = &tls.Config{RootCAs: authority.Pool()}
	t.Cleanup(func() { transport.TLSClientConfig = before })
	c.proxy = proxytest.StartHTTP(t, proxytest.WithLogin("proxy-user", canary), proxytest.WithTarget(server.Listener.Addr().String()))
	return c
}

func (c *clouds) serve(w http.ResponseWriter, req *http.Request) {
	c.mu.Lock()
	c.asked = append(c.asked, req.Host+" "+req.URL.Path)
	answer := c.answers[req.Host]
	c.mu.Unlock()
	if answer == nil {
		http.NotFound(w, req)
		return
	}
	answer(w, req)
}

// count returns how often an address was asked.
func (c *clouds) count(host string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := 0
	for _, asked := range c.asked {
		if strings.HasPrefix(asked, host+" ") {
			count++
		}
	}
	return count
}

// set has an address answer in another way.
func (c *clouds) set(host string, answer http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[host] = answer
}

// secretRef returns the Secret of the proxy that leads to the clouds.
func (c *clouds) secret() *corev1.Secret {
	return proxySecret("proxy", c.proxy.Address(), "proxy-user", canary)
}

// cloudAnswers are the answers of clouds to those who show the token that
// Kubernetes made for a service account, as each of them expects it.
func cloudAnswers() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"sts.eu-west-1.amazonaws.com": func(w http.ResponseWriter, req *http.Request) {
			_ = req.ParseForm()
			if req.Form.Get("WebIdentityToken") != "kubernetes-token" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			_, _ = fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
				<AccessKeyId>AK</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration>
				</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
				canary, canary, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		},
		"api.ecr.eu-west-1.amazonaws.com": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			_, _ = fmt.Fprintf(w, `{"authorizationData":[{"authorizationToken":%q,"expiresAt":%d}]}`,
				base64.StdEncoding.EncodeToString([]byte("AWS:"+canary)), time.Now().Add(12*time.Hour).Unix())
		},
		"login.microsoftonline.com": serveEntra,
		"contoso.azurecr.io": func(w http.ResponseWriter, req *http.Request) {
			_ = req.ParseForm()
			if req.Form.Get("access_token") != canary || req.URL.Path != "/oauth2/exchange" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			encode := base64.RawURLEncoding.EncodeToString
			claims := fmt.Sprintf(`{"exp":%d}`, time.Now().Add(3*time.Hour).Unix())
			_, _ = fmt.Fprintf(w, `{"refresh_token":"%s.%s.%s"}`, encode([]byte(`{"alg":"RS256"}`)), encode([]byte(claims)), encode([]byte(canary)))
		},
		"sts.googleapis.com": func(w http.ResponseWriter, req *http.Request) {
			_ = req.ParseForm()
			if req.Form.Get("subject_token") != "kubernetes-token" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"access_token":%q,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":3600}`, canary)
		},
	}
}

// serveEntra is Microsoft's login for one tenant.
func serveEntra(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	const tenant = "https://login.microsoftonline.com/11111111-1111-1111-1111-111111111111"
	switch {
	case strings.HasSuffix(req.URL.Path, "/discovery/instance"):
		_, _ = io.WriteString(w, `{"tenant_discovery_endpoint":"`+tenant+`/v2.0/.well-known/openid-configuration","metadata":[]}`)
	case strings.HasSuffix(req.URL.Path, "/openid-configuration"):
		_, _ = io.WriteString(w, `{"issuer":"`+tenant+`/v2.0","authorization_endpoint":"`+tenant+`/oauth2/v2.0/authorize","token_endpoint":"`+tenant+`/oauth2/v2.0/token"}`)
	default:
		_ = req.ParseForm()
		if req.Form.Get("client_assertion") != "kubernetes-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3600,"access_token":%q}`, canary)
	}
}

// accounts are service accounts that are somebody in each cloud.
func accounts() []*corev1.ServiceAccount {
	account := func(name string, annotations map[string]string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "apps", Annotations: annotations}}
	}
	return []*corev1.ServiceAccount{
		account("aws", map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/reader"}),
		account("azure", map[string]string{"azure.workload.identity/tenant-id": "11111111-1111-1111-1111-111111111111", "azure.workload.identity/client-id": "22222222-2222-2222-2222-222222222222"}),
		account("gcp", map[string]string{"gcp.auth.fluxcd.io/workload-identity-provider": "projects/1/locations/global/workloadIdentityPools/pool/providers/provider"}),
		account("nobody", nil),
	}
}

// cloudCluster returns the namespace "apps" with the accounts, and some
// Secrets. The API server's answer to requests for tokens is create's.
func cloudCluster(create func() error, secrets ...*corev1.Secret) client.Client {
	builder := fake.NewClientBuilder().WithScheme(scheme.Scheme)
	for _, account := range accounts() {
		builder = builder.WithObjects(account)
	}
	for _, secret := range secrets {
		secret = secret.DeepCopy()
		secret.ResourceVersion = ""
		builder = builder.WithObjects(secret)
	}
	return builder.WithInterceptorFuncs(interceptor.Funcs{
		SubResourceCreate: func(_ context.Context, _ client.Client, _ string, _, subResource client.Object, _ ...client.SubResourceCreateOption) error {
			if create != nil {
				if err := create(); err != nil {
					return err
				}
			}
			subResource.(*authenticationv1.TokenRequest).Status.Token = "kubernetes-token"
			return nil
		},
	}).Build()
}

// newCloudGetter returns a getter under which objects have identities of their
// own.
func newCloudGetter(t *testing.T, c client.Client, change func(*credentials.Cloud)) AuthOptionsGetter {
	t.Helper()
	auth.EnableObjectLevelWorkloadIdentity()
	t.Cleanup(auth.DisableObjectLevelWorkloadIdentity)
	tokens, err := credentials.NewTokenCache(100, time.Hour, prometheus.NewRegistry())
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	cloud := credentials.Cloud{Client: c, Tokens: tokens, ObjectLevel: true}
	if change != nil {
		change(&cloud)
	}
	return NewAuthOptionsGetter(credentials.NewResolver(c, credentials.WithCloud(cloud)))
}

// cloudSpec returns the spec of an image in a cloud, reached as a service
// account through the proxy.
func cloudSpec(image, provider, account string) func(*v1.ImageRepositorySpec) {
	return func(s *v1.ImageRepositorySpec) {
		s.Image, s.Provider, s.ServiceAccountName, s.ProxySecretRef = image, provider, account, secretRef("proxy")
	}
}
