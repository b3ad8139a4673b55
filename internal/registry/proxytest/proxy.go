// SPDX-License-Identifier: Apache-2.0

// Package proxytest has forward proxies for tests: HTTP with CONNECT, and
// SOCKS5, with or without credentials. They log where they were sent.
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

// Proxy is a forward proxy on a loopback port. All methods are safe for
// concurrent use.
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

// Option changes a Proxy that is being made.
type Option func(*Proxy)

// WithLogin makes the proxy want a username and a password.
func WithLogin(username, password string) Option {
	return func(p *Proxy) { p.username, p.password = username, password }
}

// WithTLS makes the proxy itself be reached over TLS.
func WithTLS(config *tls.Config) Option {
	return func(p *Proxy) { p.tls, p.scheme = config, "https" }
}

// WithTarget makes the proxy connect to one address, whatever is asked for.
func WithTarget(address string) Option {
	return WithDial(func(ctx context.Context, _ string) (net.Conn, error) { return dial(ctx, address) })
}

// WithDial makes the proxy connect with a function, which gets the host and
// port that are asked for.
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

// Address is the address of the proxy, without credentials.
func (p *Proxy) Address() string { return p.scheme + "://" + p.listener.Addr().String() }

// Targets returns where the proxy was sent by those whom it admitted, in order.
func (p *Proxy) Targets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.targets)
}

// Refused returns how often somebody was not admitted.
func (p *Proxy) Refused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// admit notes a request, and reports whether it is admitted.
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

// tunnel passes on what either side sends until one of them ends.
func tunnel(a, b net.Conn) {
	var wait sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		wait.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = a.Close()
			_ = b.Close()
		})
	}
	wait.Wait()
}
