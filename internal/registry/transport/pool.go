// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/registry/cache"
)

// Config configures the connections to a registry. The zero value is the default: the
// system's roots, and the proxies of the environment.
type Config struct {
	// Key identifies the configuration. It is empty for the default.
	Key string
	// TLS is nil for the default.
	TLS *tls.Config
	// Proxy is nil for the proxies of the environment.
	Proxy *url.URL
}

// Intercepts reports whether the proxy could read the requests, because the configuration
// also has a certificate authority of its own.
func (c Config) Intercepts() bool { return c.Proxy != nil && c.TLS != nil && c.TLS.RootCAs != nil }

// newTransport returns a transport for the configuration. The context of a request bounds
// the complete request. The timeouts of the transport end earlier than that if a server does
// not respond.
func newTransport(c Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  60 * time.Second,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    64,
		MaxResponseHeaderBytes: 256 << 10,
		OnProxyConnectResponse: checkProxyResponse,
	}
	if c.Key != "" { // there may be many such transports
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 32, 16
	}
	if c.TLS != nil {
		t.TLSClientConfig = c.TLS.Clone() // the transport changes it
	}
	if c.Proxy != nil {
		t.Proxy = http.ProxyURL(c.Proxy)
	}
	return t
}

// checkProxyResponse fails with the status with which a proxy refused a connection.
func checkProxyResponse(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &ProxyError{StatusCode: resp.StatusCode}
	}
	return nil
}

const (
	// maxTransports bounds the transports beside the default one.
	maxTransports = 64
	// transportIdle is how long an unused transport is cached.
	transportIdle = 10 * time.Minute
)

// Pool caches a transport, with its connections, per Config.
type Pool struct {
	standard *http.Transport
	others   *cache.Cache[string, *http.Transport]
}

// NewPool returns an empty Pool.
func NewPool(now func() time.Time) *Pool {
	return &Pool{
		standard: newTransport(Config{}),
		others:   cache.New[string](maxTransports, transportIdle, now, (*http.Transport).CloseIdleConnections),
	}
}

// Transport returns the transport of a configuration. Callers have to call it for each
// request, so that they do not use a transport that the pool has dropped.
func (p *Pool) Transport(c Config) *http.Transport {
	if c.Key == "" {
		return p.standard
	}
	return p.others.Get(c.Key, func() *http.Transport { return newTransport(c) })
}

// CloseIdleConnections closes idle connections. Requests in flight continue.
func (p *Pool) CloseIdleConnections() {
	p.standard.CloseIdleConnections()
	for _, t := range p.others.Values() {
		t.CloseIdleConnections()
	}
}
