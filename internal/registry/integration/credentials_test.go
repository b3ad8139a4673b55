// SPDX-License-Identifier: Apache-2.0

package integration_test

import (
	"crypto/tls"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	. "github.com/onsi/gomega"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry/proxytest"
	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// remoteName is a registry's name that only a proxy can resolve.
const remoteName = "registry.beyond.example"

func TestRegistry_VerifiesTLS(t *testing.T) {
	t.Parallel()
	authority := registrytest.NewAuthority(t)
	r := startRegistry(t, settings{tls: certificates(t, authority, false), auth: htpasswd(t)}, as(), over(authority))
	s := newScene(t, r.addr, login(r.addr, password), certs(t, authority))
	s.succeeds(r)

	s.change(certs(t, registrytest.NewAuthority(t)))
	s.fails(v1.ReadOperationFailedReason, "unknown authority (x509)", `ca.crt of Secret "certs"`)
	s.change(certs(t, authority))
	s.succeeds(r)

	s.repo.Spec.CertSecretRef = nil
	s.fails(v1.ReadOperationFailedReason, "unknown authority (x509)", "spec.certSecretRef")
}

func TestRegistry_PresentsClientCertificate(t *testing.T) {
	t.Parallel()
	authority := registrytest.NewAuthority(t)
	client, tokens := authority.Client(t), newTokenServer(t, authority)
	r := startRegistry(t, settings{tls: certificates(t, authority, true), auth: tokens.settings(t)},
		remote.WithTransport(&bearer{server: tokens, inner: tlsTransport(authority, client)}))
	s := newScene(t, r.addr, login(r.addr, password), certs(t, authority, client))
	s.succeeds(r)

	s.change(certs(t, authority))
	s.fails(v1.ReadOperationFailedReason, "may want a client certificate", "spec.certSecretRef")
	s.change(certs(t, authority, registrytest.NewAuthority(t).Client(t)))
	s.fails(v1.ReadOperationFailedReason, `check that it accepts the client certificate of Secret "certs"`)
	s.change(certs(t, authority, client))
	s.succeeds(r)
}

// TestProxy_SupportsHTTPAndSOCKS5 tests each kind of proxy in front of a registry that wants
// everything: a client certificate, and a password.
func TestProxy_SupportsHTTPAndSOCKS5(t *testing.T) {
	authority := registrytest.NewAuthority(t)
	client := authority.Client(t)
	r := startRegistry(t, settings{tls: certificates(t, authority, true, remoteName), auth: htpasswd(t)}, as(), over(authority, client))
	wants := []proxytest.Option{proxytest.WithLogin("proxy-user", password), proxytest.WithTarget(r.addr)}
	ownTLS := proxytest.WithTLS(&tls.Config{Certificates: []tls.Certificate{authority.Server(t).TLS()}})
	kinds := map[string]*proxytest.Proxy{
		"HTTP":   proxytest.StartHTTP(t, wants...),
		"HTTPS":  proxytest.StartHTTP(t, append(wants, ownTLS)...),
		"SOCKS5": proxytest.StartSOCKS5(t, wants...),
	}
	for name, proxy := range kinds {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, remoteName, login(remoteName, password), certs(t, authority, client), through(proxy, password))
			s.succeeds(r)
			s.succeeds(r)
			if targets := proxy.Targets(); len(targets) != 1 || targets[0] != remoteName+":443" {
				t.Errorf("the proxy connected to %v, want one connection for all", targets)
			}

			s.change(through(proxy, "other"))
			s.fails(v1.AuthenticationFailedReason, `the proxy of Secret "proxy" refused the credentials for it`)
			NewWithT(t).Expect(proxy.Refused()).NotTo(BeZero(), "the proxy was not asked under the new password")
			s.change(secretOf("proxy", map[string]string{"address": proxy.Address()}))
			s.fails(v1.AuthenticationFailedReason, `the proxy of Secret "proxy" wants credentials`)
			s.change(through(proxy, password))
			s.succeeds(r)
		})
	}
}

// TestProxy_ForwardsPlainHTTP tests a proxy that passes on requests in place of
// connections.
func TestProxy_ForwardsPlainHTTP(t *testing.T) {
	t.Parallel()
	r := startRegistry(t, settings{auth: htpasswd(t)}, as())
	proxy := proxytest.StartHTTP(t, proxytest.WithLogin("proxy-user", password))
	s := newScene(t, r.addr, login(r.addr, password), through(proxy, password))
	s.repo.Spec.Insecure = true
	s.succeeds(r)
	s.change(through(proxy, "other"))
	s.fails(v1.AuthenticationFailedReason, `the proxy of Secret "proxy" refused the credentials for it (407)`)
}

func TestProxy_ReportsFailures(t *testing.T) {
	t.Parallel()
	nowhere := proxytest.StartHTTP(t, proxytest.WithTarget("127.0.0.1:1"))
	socks := proxytest.StartSOCKS5(t, proxytest.WithTarget("127.0.0.1:1"))
	cases := map[string]struct {
		reason, address, words string
	}{
		"NoProxy": {reason: "nobody listens", address: "http://127.0.0.1:1", words: `the proxy of Secret "proxy" can't be reached`},
		"NoName":  {reason: "no such host", address: "http://proxy.invalid:3128", words: `the name of the proxy of Secret "proxy" can't be resolved`},
		"Nowhere": {reason: "the registry is not there", address: nowhere.Address(), words: `the proxy of Secret "proxy" can't reach ` + remoteName},
		"SOCKS5":  {reason: "the registry is not there", address: socks.Address(), words: `the proxy of Secret "proxy" can't reach ` + remoteName},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, remoteName, secretOf("proxy", map[string]string{"address": tc.address}))
			s.fails(v1.ReadOperationFailedReason, tc.words)
		})
	}
}
