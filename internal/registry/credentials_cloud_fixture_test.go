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

// The images of the cloud tests, one for each provider.
const (
	imageAWS   = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app"
	imageAzure = "contoso.azurecr.io/app"
	imageGCP   = "europe-docker.pkg.dev/project/repo/app"
)

// clouds is a fake of all cloud APIs behind a proxy. The real client libraries send their requests
// to it.
type clouds struct {
	proxy *proxytest.Proxy

	mu       sync.Mutex
	requests []string                    // "host path"
	handlers map[string]http.HandlerFunc // by host
}

// startClouds starts the fake clouds. Until the test ends, the default transport, which the
// libraries copy, trusts their certificate.
func startClouds(t *testing.T) *clouds {
	t.Helper()
	c := &clouds{handlers: cloudHandlers()}
	server := httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	authority := registrytest.NewAuthority(t)
	cert := authority.Server(t, slices.Collect(maps.Keys(c.handlers))...)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}
	server.Config.ErrorLog = discard
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := http.DefaultTransport.(*http.Transport)
	original := transport.TLSClientConfig
	transport.TLSClientConfig = &tls.Config{RootCAs: authority.Pool()}
	t.Cleanup(func() { transport.TLSClientConfig = original })
	c.proxy = proxytest.StartHTTP(t, proxytest.WithLogin("proxy-user", canary), proxytest.WithTarget(server.Listener.Addr().String()))
	return c
}

func (c *clouds) serve(w http.ResponseWriter, req *http.Request) {
	c.mu.Lock()
	c.requests = append(c.requests, req.Host+" "+req.URL.Path)
	handler := c.handlers[req.Host]
	c.mu.Unlock()
	if handler == nil {
		http.NotFound(w, req)
		return
	}
	handler(w, req)
}

// count returns the number of requests to a host.
func (c *clouds) count(host string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := 0
	for _, request := range c.requests {
		if strings.HasPrefix(request, host+" ") {
			count++
		}
	}
	return count
}

// set replaces the handler of a host.
func (c *clouds) set(host string, handler http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers[host] = handler
}

// secret returns the Secret of the proxy to the clouds.
func (c *clouds) secret() *corev1.Secret {
	return proxySecret("proxy", c.proxy.Address(), "proxy-user", canary)
}

// cloudHandlers returns the handlers of the cloud APIs. They expect the token that Kubernetes
// issued for a service account.
func cloudHandlers() map[string]http.HandlerFunc {
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

// serveEntra serves the login of Microsoft Entra ID for one tenant.
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

// accounts are service accounts with an identity in each cloud, and one without.
func accounts() []*corev1.ServiceAccount {
	account := func(name string, annotations map[string]string) *corev1.ServiceAccount {
		return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "apps", Annotations: annotations}}
	}
	return []*corev1.ServiceAccount{
		account("aws", map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/reader"}),
		account("azure", map[string]string{"azure.workload.identity/tenant-id": "11111111-1111-1111-1111-111111111111", "azure.workload.identity/client-id": "22222222-2222-2222-2222-222222222222"}),
		account("gcp", map[string]string{"gcp.auth.fluxcd.io/workload-identity-provider": "projects/1/locations/global/workloadIdentityPools/pool/providers/provider"}),
		account("plain", nil),
	}
}

// cloudCluster returns a client of the namespace "apps" with the accounts and the given Secrets.
// create returns the error of token requests and may be nil.
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

// newCloudGetter returns a getter with object-level workload identity.
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

// cloudSpec sets the spec of an image in a cloud, accessed as a service account through the proxy.
func cloudSpec(image, provider, account string) func(*v1.ImageRepositorySpec) {
	return func(s *v1.ImageRepositorySpec) {
		s.Image, s.Provider, s.ServiceAccountName, s.ProxySecretRef = image, provider, account, secretRef("proxy")
	}
}
