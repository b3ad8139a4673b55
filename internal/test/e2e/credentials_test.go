// SPDX-License-Identifier: Apache-2.0

package e2e_test

import (
	"crypto/tls"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/proxytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// proxiedHost is a host name that reaches the registry of the test only through the proxy.
const proxiedHost = "example.com"

// TestRegistry_UsesCertificatesAndProxy covers a registry that is reached only through a proxy and
// requires a client certificate, for tags and digests. The Secret has deprecated keys, about which
// its owner is warned.
func TestRegistry_UsesCertificatesAndProxy(t *testing.T) {
	const password = "pr0xy-" + secretPart
	f := newFixture(t)
	digest := f.push("app", "1.0.0", "content")
	certs, far := f.proxiedRegistry()
	proxy := proxytest.StartHTTP(t, proxytest.WithLogin("user", password), proxytest.WithTarget(far))
	f.secret("certs", corev1.SecretTypeOpaque, certs)
	f.secret("proxy", corev1.SecretTypeOpaque, map[string]string{"address": proxy.Address(), "username": "user", "password": password})

	repo := f.repository("app", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.Insecure = proxiedHost+"/"+f.namespace+"/app", false
		r.Spec.CertSecretRef = &meta.LocalObjectReference{Name: "certs"}
		r.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
	})
	policy := f.policy("app", func(p *v1.ImagePolicy) { p.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent })
	awaitReady(f, repo)
	f.Expect(awaitReady(f, policy).Status.LatestRef.Digest).To(Equal(digest))
	f.Expect(proxy.Targets()).To(HaveEach(proxiedHost + ":443"))

	for range 3 {
		requestReconcile(f, repo)
	}
	awaitReady(f, repo)
	warnings := func() []string {
		var found []string
		for _, event := range f.events(repo) {
			if strings.Contains(event, "DeprecatedSecretKeys") {
				found = append(found, event)
			}
		}
		return found
	}
	f.Eventually(warnings).Should(ConsistOf(And(HavePrefix("Warning"), ContainSubstring(`Secret "certs" has the deprecated keys caFile, certFile, keyFile`))))

	f.secret("proxy", corev1.SecretTypeOpaque, map[string]string{"address": proxy.Address(), "username": "user", "password": password + "-2"})
	requestReconcile(f, repo)
	awaitNotReady(f, repo, v1.AuthenticationFailedReason, `the proxy of Secret "proxy" refused the credentials for it`)
	f.Expect(warnings()).To(HaveLen(1), "one event for all scans")
}

// TestWorkloadIdentity_RequestsServiceAccountToken checks that the controller may create a token
// for a ServiceAccount. The request to the cloud fails, since the proxy refuses it.
func TestWorkloadIdentity_RequestsServiceAccountToken(t *testing.T) {
	f := newIdleFixture(t)
	proxy := proxytest.StartHTTP(t, proxytest.WithLogin("user", "other-"+secretPart))
	controller := f.replica("--feature-gates=ObjectLevelWorkloadIdentity=true")
	controller.Env = []string{"HTTPS_PROXY=" + proxy.Address()}
	f.controller = f.start(controller)
	f.Expect(suite.api.Create(f.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: f.namespace, Name: "reader",
		Annotations: map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/reader"},
	}})).To(Succeed())

	repo := f.repository("app", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.Insecure = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app", false
		r.Spec.Provider, r.Spec.ServiceAccountName = "aws", "reader"
	})
	awaitNotReady(f, repo, v1.AuthenticationFailedReason, "aws")
	f.Expect(proxy.Refused()).NotTo(BeZero(), "the controller sends a request to the cloud")
}

// proxiedRegistry starts a reverse proxy for the registry that requires client certificates. It
// returns the data of the Secret with the certificates, and the address.
func (f *fixture) proxiedRegistry() (map[string]string, string) {
	f.t.Helper()
	authority := registrytest.NewAuthority(f.t)
	client := authority.Client(f.t)
	// The leak check searches for a line of the PEM and for the second half of the DER bytes.
	key := client.KeyPEM(f.t)
	block, _ := pem.Decode(key)
	suite.evidence.secrets.Add(string(block.Bytes[len(block.Bytes)/2:]))
	lines := strings.Split(string(key), "\n")
	suite.evidence.secrets.Add(lines[len(lines)/2])

	server := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: suite.registry.Host()}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{authority.Server(f.t, proxiedHost).TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(),
	}
	server.StartTLS()
	f.t.Cleanup(server.Close)
	return map[string]string{"caFile": string(authority.PEM()), "certFile": string(client.PEM()), "keyFile": string(key)}, server.Listener.Addr().String()
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
