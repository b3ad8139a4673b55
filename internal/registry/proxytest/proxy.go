// SPDX-License-Identifier: Apache-2.0

// Package proxytest provides forward proxies for tests: HTTP with CONNECT, and SOCKS5, with or
// without credentials. They log the requested targets.
package proxytest

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// Proxy is a forward proxy on a loopback port. All methods are safe for concurrent use.
type Proxy struct {
	scheme             string
	username, password string
	tls                *tls.Config
	dial               func(ctx context.Context, target string) (net.Conn, error)
	listener           net.Listener

	mu      sync.Mutex
	targets []string
	refused int
}

// Option configures a new Proxy.
type Option func(*Proxy)

// WithLogin makes the proxy require a username and a password.
func WithLogin(username, password string) Option {
	return func(p *Proxy) { p.username, p.password = username, password }
}

// WithTLS makes the proxy serve TLS.
func WithTLS(config *tls.Config) Option {
	return func(p *Proxy) { p.tls, p.scheme = config, "https" }
}

// WithTarget makes the proxy connect to one address, regardless of the requested target.
func WithTarget(address string) Option {
	return WithDial(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, address) })
}

// WithDial makes the proxy connect by a function of the requested host and port.
func WithDial(dial func(ctx context.Context, target string) (net.Conn, error)) Option {
	return func(p *Proxy) { p.dial = dial }
}

func dial(ctx context.Context, target string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", target)
}

// start listens until the test ends.
func start(t testing.TB, scheme string, opts []Option) *Proxy {
	t.Helper()
	p := &Proxy{scheme: scheme, dial: dial}
	for _, opt := range opts {
		opt(p)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if p.tls != nil {
		listener = tls.NewListener(listener, p.tls)
	}
	p.listener = listener
	t.Cleanup(func() { _ = listener.Close() })
	return p
}

// Address returns the URL of the proxy, without credentials.
func (p *Proxy) Address() string { return p.scheme + "://" + p.listener.Addr().String() }

// Targets returns the targets of all accepted requests, in order.
func (p *Proxy) Targets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.targets)
}

// Refused returns the number of rejected requests.
func (p *Proxy) Refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// admit logs a request and reports whether its credentials are valid.
func (p *Proxy) admit(target, username, password string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if username != p.username || password != p.password {
		p.refused++
		return false
	}
	p.targets = append(p.targets, target)
	return true
}

// tunnel copies data in both directions until one side closes.
func tunnel(a, b net.Conn) {
	var wg sync.WaitGroup
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_ = a.Close()
			_ = b.Close()
		})
	}
	wg.Wait()
}
