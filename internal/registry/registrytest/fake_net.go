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

// Dial connects to the fake registries if the address is port 443 of a product's host. An unknown
// host fails like a DNS lookup, another port like a closed one.
func (f *FakeRegistries) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if f.hosts[host] == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
	}
	if port != "443" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", f.server.Listener.Addr().String())
}

// Proxy returns the URL of an HTTP proxy that tunnels every connection to the fake registries. It
// responds with 502 if Dial fails.
func (f *FakeRegistries) Proxy() *url.URL {
	u, err := url.Parse(f.proxy.Address())
	if err != nil {
		panic(err) // a listener's address is always valid in a URL
	}
	return u
}

// CertPool returns a pool with the certificate authority of all host names.
func (f *FakeRegistries) CertPool() *x509.CertPool { return f.authority.Pool() }

// CertFile writes the certificate authority of all host names to a PEM file and returns its path.
func (f *FakeRegistries) CertFile(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, f.authority.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
