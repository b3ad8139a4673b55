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

// remoteName is a registry host that only a proxy can resolve.
const remoteName = "registry.beyond.example"

func TestRegistry_VerifiesTLS(t *testing.T) {
	t.Parallel()
	authority := registrytest.NewAuthority(t)
	r := startRegistry(t, settings{tls: certificates(t, authority, false), auth: htpasswd(t)}, withPassword(), withTLS(authority))
	f := newFixture(t, r.addr, login(r.addr, password), certs(t, authority))
	f.expectSuccess(r)

	f.updateSecret(certs(t, registrytest.NewAuthority(t)))
	f.expectError(v1.ReadOperationFailedReason, "unknown authority (x509)", `ca.crt of Secret "certs"`)
	f.updateSecret(certs(t, authority))
	f.expectSuccess(r)

	f.repo.Spec.CertSecretRef = nil
	f.expectError(v1.ReadOperationFailedReason, "unknown authority (x509)", "spec.certSecretRef")
}

func TestRegistry_PresentsClientCertificate(t *testing.T) {
	t.Parallel()
	authority := registrytest.NewAuthority(t)
	client, tokens := authority.Client(t), newTokenServer(t, authority)
	r := startRegistry(t, settings{tls: certificates(t, authority, true), auth: tokens.settings(t)},
		remote.WithTransport(&bearer{server: tokens, inner: tlsTransport(authority, client)}))
	f := newFixture(t, r.addr, login(r.addr, password), certs(t, authority, client))
	f.expectSuccess(r)

	f.updateSecret(certs(t, authority))
	f.expectError(v1.ReadOperationFailedReason, "may want a client certificate", "spec.certSecretRef")
	f.updateSecret(certs(t, authority, registrytest.NewAuthority(t).Client(t)))
	f.expectError(v1.ReadOperationFailedReason, `check that it accepts the client certificate of Secret "certs"`)
	f.updateSecret(certs(t, authority, client))
	f.expectSuccess(r)
}

// TestProxy_SupportsHTTPAndSOCKS5 tests each kind of proxy with a registry that requires a client
// certificate and a password.
func TestProxy_SupportsHTTPAndSOCKS5(t *testing.T) {
	authority := registrytest.NewAuthority(t)
	client := authority.Client(t)
	r := startRegistry(t, settings{tls: certificates(t, authority, true, remoteName), auth: htpasswd(t)}, withPassword(), withTLS(authority, client))
	opts := []proxytest.Option{proxytest.WithLogin("proxy-user", password), proxytest.WithTarget(r.addr)}
	ownTLS := proxytest.WithTLS(&tls.Config{Certificates: []tls.Certificate{authority.Server(t).TLS()}})
	kinds := map[string]*proxytest.Proxy{
		"HTTP":   proxytest.StartHTTP(t, opts...),
		"HTTPS":  proxytest.StartHTTP(t, append(opts, ownTLS)...),
		"SOCKS5": proxytest.StartSOCKS5(t, opts...),
	}
	for name, proxy := range kinds {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, remoteName, login(remoteName, password), certs(t, authority, client), proxySecret(proxy, password))
			f.expectSuccess(r)
			f.expectSuccess(r)
			if targets := proxy.Targets(); len(targets) != 1 || targets[0] != remoteName+":443" {
				t.Errorf("the proxy connected to %v, want one connection for all requests", targets)
			}

			f.updateSecret(proxySecret(proxy, "other"))
			f.expectError(v1.AuthenticationFailedReason, `the proxy of Secret "proxy" refused the credentials for it`)
			NewWithT(t).Expect(proxy.Refused()).NotTo(BeZero(), "the proxy received no request with the new password")
			f.updateSecret(newSecret("proxy", map[string]string{"address": proxy.Address()}))
			f.expectError(v1.AuthenticationFailedReason, `the proxy of Secret "proxy" wants credentials`)
			f.updateSecret(proxySecret(proxy, password))
			f.expectSuccess(r)
		})
	}
}

// TestProxy_ForwardsPlainHTTP tests a proxy that forwards requests instead of connections.
func TestProxy_ForwardsPlainHTTP(t *testing.T) {
	t.Parallel()
	r := startRegistry(t, settings{auth: htpasswd(t)}, withPassword())
	proxy := proxytest.StartHTTP(t, proxytest.WithLogin("proxy-user", password))
	f := newFixture(t, r.addr, login(r.addr, password), proxySecret(proxy, password))
	f.repo.Spec.Insecure = true
	f.expectSuccess(r)
	f.updateSecret(proxySecret(proxy, "other"))
	f.expectError(v1.AuthenticationFailedReason, `the proxy of Secret "proxy" refused the credentials for it (407)`)
}

func TestProxy_ReportsFailures(t *testing.T) {
	t.Parallel()
	unreachable := proxytest.StartHTTP(t, proxytest.WithTarget("127.0.0.1:1"))
	socks := proxytest.StartSOCKS5(t, proxytest.WithTarget("127.0.0.1:1"))
	cases := map[string]struct {
		reason, address, words string
	}{
		"NoProxy": {reason: "no proxy listens", address: "http://127.0.0.1:1", words: `the proxy of Secret "proxy" can't be reached`},
		"NoName":  {reason: "the proxy's name can't be resolved", address: "http://proxy.invalid:3128", words: `the name of the proxy of Secret "proxy" can't be resolved`},
		"HTTP":    {reason: "the registry can't be reached", address: unreachable.Address(), words: `the proxy of Secret "proxy" can't reach ` + remoteName},
		"SOCKS5":  {reason: "the registry can't be reached", address: socks.Address(), words: `the proxy of Secret "proxy" can't reach ` + remoteName},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, remoteName, newSecret("proxy", map[string]string{"address": tc.address}))
			f.expectError(v1.ReadOperationFailedReason, tc.words)
		})
	}
}
