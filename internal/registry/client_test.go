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

// trust makes a Client trust an authority.
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

// TestClient_UsesPlainHTTPOnlyIfAllowed tests that a registry whose name doesn't allow
// plain HTTP is never asked over it, and that spec.insecure allows it.
func TestClient_UsesPlainHTTPOnlyIfAllowed(t *testing.T) {
	g := NewWithT(t)
	reg := registrytest.Start(t)
	reg.Push(t, "app", "1.0.0")
	// A name that go-containerregistry does not take for a local one, which it
	// would reach over plain HTTP without being told to.
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

// TestRedirect_DropsCredentials tests that what a redirect leads to gets no
// credentials, and that a redirect away from TLS is not followed.
func TestRedirect_DropsCredentials(t *testing.T) {
	var leaked []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		leaked = append(leaked, req.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"name":"app","tags":["1.0.0"]}`))
	}))
	t.Cleanup(elsewhere.Close)

	t.Run("Redirect", func(t *testing.T) {
		g := NewWithT(t)
		leaked = nil
		reg, img := start(t, registrytest.WithBasicAuth("user", canary))
		reg.Inject(registrytest.Tags, registrytest.Redirect(elsewhere.URL+"/v2/app/tags/list"))
		g.Expect(newTestClient(t).ListTags(t.Context(), img, login(img))).To(BeComparableTo([]string{"1.0.0"}), "a list that moved is followed")
		g.Expect(leaked).To(BeComparableTo([]string{""}), "Authorization headers that the other host")
	})
	t.Run("AwayFromTLS", func(t *testing.T) {
		leaked = nil
		reg := registrytest.Start(t, registrytest.WithTLS())
		reg.Inject(registrytest.Ping, registrytest.Redirect(elsewhere.URL+"/v2/"))
		c := newTestClient(t)
		trust(c, reg.CertPool())
		c.pool.Transport(transport.Config{}).DialContext = dialTo(reg.Host())
		c.pool.Transport(transport.Config{}).TLSClientConfig.ServerName = "example.com" // what the certificate of httptest names
		img := parse(t, "registry.example.com/app")
		_, err := c.ListTags(t.Context(), img, login(img))
		checkError(t, err, v1.ReadOperationFailedReason, "without TLS")
		NewWithT(t).Expect(leaked).To(BeEmpty(), "the address without TLS was asked")
	})
	t.Run("AnotherRegistry", func(t *testing.T) {
		reg, img := start(t)
		_, err := newTestClient(t).ListTags(t.Context(), img, login(parse(t, "ghcr.io/org/app")))
		checkError(t, err, v1.ReadOperationFailedReason, "another registry")
		NewWithT(t).Expect(reg.Count(registrytest.Any)).To(BeZero(), "requests with credentials for another registry, want none")
	})
}
