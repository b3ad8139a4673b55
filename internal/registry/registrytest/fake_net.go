// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"context"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Dial connects to the zoo where the address is port 443 of a product's host.
// An unknown host fails as in DNS, and another port as a closed one.
func (z *Zoo) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if z.hosts[host] == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	}
	if port != "443" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", z.server.Listener.Addr().String())
}

// Proxy returns the URL of an HTTP proxy whose tunnels all end at the zoo. It
// answers 502 where Dial fails.
func (z *Zoo) Proxy() *url.URL {
	u, err := url.Parse(z.proxy.Address())
	if err != nil {
		panic(err) // the address of a listener is always part of a URL
	}
	return u
}

// CertPool returns the authority of all host names.
func (z *Zoo) CertPool() *x509.CertPool { return z.authority.Pool() }

// CertFile returns the name of a PEM file with the authority of all host names.
func (z *Zoo) CertFile(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, z.authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
