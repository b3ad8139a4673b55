// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"testing"

	. "github.com/onsi/gomega"
)

// TestPool_UsesProxyFromEnvironment tests that the proxy of the environment is used if the
// configuration has none. It is the only test that reads the environment, because net/http caches
// it.
func TestPool_UsesProxyFromEnvironment(t *testing.T) {
	const environment = "http://u:p@environment.example.com:3128"
	t.Setenv("HTTPS_PROXY", environment)
	t.Setenv("NO_PROXY", "")
	own := &url.URL{Scheme: "http", Host: "own.example.com:3128"}
	cases := map[string]struct {
		reason string
		config Config
		want   string
	}{
		"Default":      {reason: "without configuration", want: environment},
		"Certificates": {reason: "certificates don't affect the proxy", config: Config{Key: "certs", TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, want: environment},
		"Own":          {reason: "the configured proxy takes precedence", config: Config{Key: "proxy", Proxy: own}, want: own.String()},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			req := &http.Request{URL: &url.URL{Scheme: "https", Host: "registry.example.com"}}
			g.Expect(newTransport(tc.config).Proxy(req)).To(HaveField("String()", Equal(tc.want)), tc.reason)
		})
	}
}
