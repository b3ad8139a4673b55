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

// farHost is a name that leads to the test's registry only through a proxy.
const farHost = "example.com"

// TestRegistry_UsesCertificatesAndProxy tests a registry that is reached only through a
// proxy, and wants a client certificate: for tags and digests, with the older
// keys of the Secret, and with what its owner sees.
func TestRegistry_UsesCertificatesAndProxy(t *testing.T) {
	const password = "pr0xy-" + secretPart
	s := newScene(t)
	digest := s.push("app", "1.0.0", "content")
	certs, far := s.farRegistry()
	proxy := proxytest.StartHTTP(t, proxytest.WithLogin("user", password), proxytest.WithTarget(far))
	s.secret("certs", corev1.SecretTypeOpaque, certs)
	s.secret("proxy", corev1.SecretTypeOpaque, map[string]string{"address": proxy.Address(), "username": "user", "password": password})

	repo := s.repository("app", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.Insecure = farHost+"/"+s.namespace+"/app", false
		r.Spec.CertSecretRef = &meta.LocalObjectReference{Name: "certs"}
		r.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
	})
	policy := s.policy("app", func(p *v1.ImagePolicy) { p.Spec.DigestReflectionPolicy = v1.ReflectIfNotPresent })
	ready(s, repo)
	s.Expect(ready(s, policy).Status.LatestRef.Digest).To(Equal(digest))
	s.Expect(proxy.Targets()).To(HaveEach(farHost + ":443"))

	for range 3 {
		request(s, repo)
	}
	ready(s, repo)
	told := func() []string {
		var told []string
		for _, event := range s.events(repo) {
			if strings.Contains(event, "DeprecatedSecretKeys") {
				told = append(told, event)
			}
		}
		return told
	}
	s.Eventually(told).Should(ConsistOf(And(HavePrefix("Warning"), ContainSubstring(`Secret "certs" has the deprecated keys caFile, certFile, keyFile`))))

	s.secret("proxy", corev1.SecretTypeOpaque, map[string]string{"address": proxy.Address(), "username": "user", "password": password + "-2"})
	request(s, repo)
	notReady(s, repo, v1.AuthenticationFailedReason, `the proxy of Secret "proxy" refused the credentials for it`)
	s.Expect(told()).To(HaveLen(1), "told once, however many scans there are")
}

// TestWorkloadIdentity_RequestsServiceAccountToken has the API server make a token for a ServiceAccount.
// The cloud that it is for is never reached: the only way there refuses.
func TestWorkloadIdentity_RequestsServiceAccountToken(t *testing.T) {
	s := emptyScene(t)
	proxy := proxytest.StartHTTP(t, proxytest.WithLogin("user", "other-"+secretPart))
	controller := s.replica("--feature-gates=ObjectLevelWorkloadIdentity=true")
	controller.Env = []string{"HTTPS_PROXY=" + proxy.Address()}
	s.controller = s.start(controller)
	s.Expect(suite.api.Create(s.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{
		Namespace: s.namespace, Name: "reader",
		Annotations: map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/reader"},
	}})).To(Succeed())

	repo := s.repository("app", func(r *v1.ImageRepository) {
		r.Spec.Image, r.Spec.Insecure = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app", false
		r.Spec.Provider, r.Spec.ServiceAccountName = "aws", "reader"
	})
	notReady(s, repo, v1.AuthenticationFailedReason, "aws")
	s.Expect(proxy.Refused()).NotTo(BeZero(), "it got as far as the cloud")
}

// farRegistry puts TLS with client certificates in front of the registry. It
// returns the Secret to reach it with, and the address.
func (s *scene) farRegistry() (map[string]string, string) {
	s.t.Helper()
	authority := registrytest.NewAuthority(s.t)
	client := authority.Client(s.t)
	// Of its text a line in the middle is looked for, and of its bytes the second half.
	key := client.KeyPEM(s.t)
	block, _ := pem.Decode(key)
	suite.evidence.secrets.Add(string(block.Bytes[len(block.Bytes)/2:]))
	lines := strings.Split(string(key), "\n")
	suite.evidence.secrets.Add(lines[len(lines)/2])

	server := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: suite.registry.Host()}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{authority.Server(s.t, farHost).TLS()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool(),
	}
	server.StartTLS()
	s.t.Cleanup(server.Close)
	return map[string]string{"caFile": string(authority.PEM()), "certFile": string(client.PEM()), "keyFile": string(key)}, server.Listener.Addr().String()
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
