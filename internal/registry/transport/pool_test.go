// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"testing"

	. "github.com/onsi/gomega"
)

// TestPool_UsesProxyFromEnvironment tests that the environment's proxies are used
// wherever no configuration has one, whatever the certificates are. It is the only
// test that reads the environment, which net/http does once in a process.
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
		"Default":      {reason: "the only one", want: environment},
		"Certificates": {reason: "certificates say nothing about proxies", config: Config{Key: "certs", TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, want: environment},
		"Own":          {reason: "the object knows better", config: Config{Key: "proxy", Proxy: own}, want: own.String()},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			req := &http.Request{URL: &url.URL{Scheme: "https", Host: "registry.example.com"}}
			g.Expect(newTransport(tc.config).Proxy(req)).To(HaveField("String()", Equal(tc.want)), tc.reason)
		})
	}
}
