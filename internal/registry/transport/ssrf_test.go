// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	. "github.com/onsi/gomega"
)

// TestPlainHTTP_IsLimitedToLocalAndInsecureHosts tests that look-alike names are not treated as
// hosts of this machine or of a private network.
func TestPlainHTTP_IsLimitedToLocalAndInsecureHosts(t *testing.T) {
	cases := map[string]struct {
		reason, host   string
		insecure, want bool
	}{
		"Public":       {reason: "TLS by default", host: "ghcr.io"},
		"Insecure":     {reason: "explicitly allowed", host: "ghcr.io", insecure: true, want: true},
		"InsecureIPv6": {reason: "explicitly allowed", host: "[2001:db8::1]", insecure: true, want: true},
		"Localhost":    {reason: "this machine", host: "localhost:5000", want: true},
		"LocalName":    {reason: "this machine (RFC 6761)", host: "registry.localhost:5000", want: true},
		"Loopback":     {reason: "this machine", host: "127.0.0.1:5000", want: true},
		"LoopbackIPv6": {reason: "this machine", host: "[::1]:5000", want: true},
		"Private":      {reason: "a private network (RFC 1918)", host: "10.0.0.1:5000", want: true},
		"PrivateIPv6":  {reason: "a private network (RFC 4193)", host: "[fd00::1]:5000", want: true},
		"IPv6":         {reason: "a public address that contains ::1", host: "[2001:db8::1]:5000"},
		"IPv6Longer":   {reason: "a public address with ::1 in the middle", host: "[2001:db8::1:2]"},
		"Subdomain":    {reason: "a name that starts with an address", host: "127.0.0.1.example.com"},
		"Prefix":       {reason: "a name that ends with an address", host: "x127.0.0.1:5000"},
		"LongAddress":  {reason: "a name with a local address as prefix", host: "127.0.0.100.example.com:5000"},
	}
	for title, tc := range cases {
		t.Run(title, func(t *testing.T) {
			g := NewWithT(t)
			var opts []name.Option
			if tc.insecure {
				opts = append(opts, name.Insecure)
			}
			registry, err := name.NewRegistry(tc.host, opts...)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(PlainHTTP(registry)).To(Equal(tc.want), tc.reason)
		})
	}
}
