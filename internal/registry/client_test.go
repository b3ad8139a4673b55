// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// trust makes a client trust a certificate authority.
func trust(c *testClient, pool *x509.CertPool) {
	c.pool.Transport(transport.Config{}).TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func TestClient_SetsUserAgent(t *testing.T) {
	g := NewWithT(t)
	reg, img := start(t, registrytest.WithTokenAuth("user", canary))
	c := newTestClient(t, WithUserAgent("image-reflector-controller/v9"))
	g.Expect(c.ListTags(t.Context(), img, login(img))).Error().NotTo(HaveOccurred())
	for _, req := range reg.Requests() {
		g.Expect(req.Header.Get("User-Agent")).To(HavePrefix("image-reflector-controller/v9"), "%s %s: got user agent", req.Method, req.Path)
	}
}

// TestClient_UsesPlainHTTPOnlyIfAllowed tests that a registry whose name doesn't allow plain HTTP
// gets no plain HTTP request unless spec.insecure is set.
func TestClient_UsesPlainHTTPOnlyIfAllowed(t *testing.T) {
	g := NewWithT(t)
	reg := registrytest.Start(t)
	reg.Push(t, "app", "1.0.0")
	// go-containerregistry uses plain HTTP by default for local names, but not for this one.
	name := "registry.example.com/app"
	for _, insecure := range []bool{false, true} {
		c := newTestClient(t)
		c.pool.Transport(transport.Config{}).DialContext = dialTo(reg.Host())
		reg.Reset()
		img, err := image.Parse(name, insecure)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = c.Digest(t.Context(), img, "1.0.0", AuthOptions{})
		switch {
		case insecure && err != nil:
			t.Error(err)
		case !insecure:
			checkError(t, err, v1.ReadOperationFailedReason, "plain HTTP", "spec.insecure")
			g.Expect(reg.Count(registrytest.Any)).To(BeZero(), "requests over plain HTTP, want none")
		}
	}
}

// TestRedirect_DropsCredentials tests that the target of a redirect receives no credentials, and
// that redirects from TLS to plain HTTP are not followed.
func TestRedirect_DropsCredentials(t *testing.T) {
	var leaked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		leaked = append(leaked, req.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"name":"app","tags":["1.0.0"]}`))
	}))
	t.Cleanup(other.Close)

	t.Run("Redirect", func(t *testing.T) {
		g := NewWithT(t)
		leaked = nil
		reg, img := start(t, registrytest.WithBasicAuth("user", canary))
		reg.Inject(registrytest.Tags, registrytest.Redirect(other.URL+"/v2/app/tags/list"))
		g.Expect(newTestClient(t).ListTags(t.Context(), img, login(img))).To(BeComparableTo([]string{"1.0.0"}), "the redirect is followed")
		g.Expect(leaked).To(BeComparableTo([]string{""}), "Authorization headers that the other host received")
	})
	t.Run("AwayFromTLS", func(t *testing.T) {
		leaked = nil
		reg := registrytest.Start(t, registrytest.WithTLS())
		reg.Inject(registrytest.Ping, registrytest.Redirect(other.URL+"/v2/"))
		c := newTestClient(t)
		trust(c, reg.CertPool())
		c.pool.Transport(transport.Config{}).DialContext = dialTo(reg.Host())
		c.pool.Transport(transport.Config{}).TLSClientConfig.ServerName = "example.com" // in the certificate of httptest
		img := parse(t, "registry.example.com/app")
		_, err := c.ListTags(t.Context(), img, login(img))
		checkError(t, err, v1.ReadOperationFailedReason, "without TLS")
		NewWithT(t).Expect(leaked).To(BeEmpty(), "the plain HTTP address received a request")
	})
	t.Run("AnotherRegistry", func(t *testing.T) {
		reg, img := start(t)
		_, err := newTestClient(t).ListTags(t.Context(), img, login(parse(t, "ghcr.io/org/app")))
		checkError(t, err, v1.ReadOperationFailedReason, "another registry")
		NewWithT(t).Expect(reg.Count(registrytest.Any)).To(BeZero(), "requests with credentials for another registry, want none")
	})
}
