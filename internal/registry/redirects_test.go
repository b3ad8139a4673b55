// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// TestCheckRedirect_RejectsPrivateTargets tests that no registry can redirect the controller to
// servers in the controller's private network.
func TestCheckRedirect_RejectsPrivateTargets(t *testing.T) {
	for name, tc := range map[string]struct {
		host   string
		plain  bool
		target string
		want   error
	}{
		"the same host":                     {"r.example.com", false, "https://r.example.com/v2/app/tags/list", nil},
		"another host":                      {"r.example.com", false, "https://storage.example.org/list", nil},
		"plain HTTP":                        {"r.example.com", false, "http://r.example.com/", transport.ErrPlainHTTP},
		"another protocol":                  {"r.example.com", false, "file:///etc/passwd", transport.ErrPlainHTTP},
		"the private network":               {"r.example.com", false, "https://10.96.0.1/api/v1/secrets", transport.ErrBadRedirect},
		"the private network, in IPv6":      {"r.example.com", false, "https://[fd00::1]/", transport.ErrBadRedirect},
		"the private network, IPv4 in IPv6": {"r.example.com", false, "https://[::ffff:10.0.0.1]/", transport.ErrBadRedirect},
		"this machine":                      {"r.example.com", false, "https://127.0.0.1:9440/", transport.ErrBadRedirect},
		"this machine by name":              {"r.example.com", false, "https://localhost/", transport.ErrBadRedirect},
		"this machine without a name":       {"r.example.com", false, "https://:8080/", transport.ErrBadRedirect},
		"credentials of a cloud":            {"r.example.com", false, "https://169.254.169.254/latest/", transport.ErrBadRedirect},
		"the same without TLS":              {"10.0.0.1:5000", true, "http://169.254.169.254/latest/", transport.ErrBadRedirect},
		"the same in IPv6 notation":         {"10.0.0.1:5000", true, "http://[::ffff:169.254.169.254]/latest/", transport.ErrBadRedirect},
		"credentials of AWS, in IPv6":       {"10.0.0.1:5000", true, "http://[fd00:ec2::254]/latest/", transport.ErrBadRedirect},
		"credentials of Alibaba Cloud":      {"10.0.0.1:5000", true, "http://100.100.100.200/latest/", transport.ErrBadRedirect},
		"an address as a single number":     {"10.0.0.1:5000", true, "http://2852039166/latest/", transport.ErrBadRedirect},
		"an address with two parts":         {"r.example.com", false, "https://127.1/", transport.ErrBadRedirect},
		"an address in octal":               {"r.example.com", false, "https://0177.0.0.01/", transport.ErrBadRedirect},
		"an address in hexadecimal":         {"r.example.com", false, "https://0X7F000001/", transport.ErrBadRedirect},
		"a name that begins with numbers":   {"r.example.com", false, "https://127.0.0.1.example.org/", nil},
		"a registry in the private network": {"10.0.0.1:5000", true, "http://10.0.0.2/", nil},
		"the registry's own address":        {"10.0.0.1:5000", false, "https://10.0.0.1:5000/", nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			u, err := url.Parse(tc.target)
			g.Expect(err).NotTo(HaveOccurred())
			err = transport.CheckRedirect(tc.host, tc.plain)(&http.Request{URL: u}, nil)
			g.Expect(errors.Is(err, tc.want)).To(BeTrue(), "got %v, want %v", err, tc.want)
		})
	}
}

// TestRedirect_IntoPrivateNetworkIsNotFollowed tests the same for all requests of the client.
func TestRedirect_IntoPrivateNetworkIsNotFollowed(t *testing.T) {
	g := NewWithT(t)
	for _, kind := range append([]registrytest.Kind{registrytest.Ping}, imageKinds...) {
		for _, target := range []string{"https://127.0.0.1:1/", "https://10.0.0.1/", "https://169.254.169.254/latest/"} {
			reg := registrytest.Start(t, registrytest.WithTLS())
			reg.Push(t, "app", "1.0.0")
			reg.Inject(kind, registrytest.Redirect(target))
			c := newTestClient(t)
			trust(c, reg.CertPool())
			c.pool.Transport(transport.Config{}).DialContext = dialTo(reg.Host())
			c.pool.Transport(transport.Config{}).TLSClientConfig.ServerName = "example.com"
			img := parse(t, "registry.example.com/app")
			reg.Reset()
			if kind == registrytest.ManifestGet {
				reg.Inject(registrytest.ManifestHead, registrytest.DropHeader(digestHeader))
			}
			read := readers["Digest"]
			if kind == registrytest.Tags {
				read = readers["Tags"]
			}
			checkError(t, read(t.Context(), c, img, AuthOptions{}), v1.ReadOperationFailedReason, "it redirects to an address that is not allowed")
			for _, request := range reg.Requests() {
				g.Expect(request.Path).NotTo(HavePrefix("/latest"), "%s: the redirect to %s was followed", kind, target)
				g.Expect(request.Path).NotTo(Equal("/"), "%s: the redirect to %s was followed", kind, target)
			}
		}
	}
}

// TestRateLimit_SeparatesProxies tests that a rate limit reported through a proxy only affects
// operations through the same proxy, because the response may be the proxy's own.
func TestRateLimit_SeparatesProxies(t *testing.T) {
	g := NewWithT(t)
	reg, img := start(t)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		registrytest.RetryAfter(http.StatusTooManyRequests, "3600")(w, req, nil)
	}))
	defer proxy.Close()
	address, err := url.Parse(proxy.URL)
	g.Expect(err).NotTo(HaveOccurred())
	c := newTestClient(t, withClock(registrytest.NewClock()), WithRateLimits(ratelimit.Config{InFlight: 1}))
	proxied := via("proxied", nil, address)
	for range 2 {
		_, err = c.ListTags(t.Context(), img, proxied)
		checkError(t, err, v1.RateLimitedReason, "limits the rate")
	}
	repo := c.Open(Access{Image: img, Proxy: "other"})
	defer repo.Close()
	g.Expect(repo.hosts[0].admit()).To(Succeed(), "the limiter of another proxy is paused")
	tags, err := c.ListTags(t.Context(), img, AuthOptions{})
	if diff := cmp.Diff([]string{"1.0.0", "1.1.0"}, tags); err != nil || diff != "" || reg.Count(registrytest.Tags) != 1 {
		t.Errorf("without a proxy: error %v, -want +got:\n%s", err, diff)
	}
}
