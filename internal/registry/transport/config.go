/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Config is how a registry is connected to. The zero value is the default:
// the system's roots, and the proxies of the environment.
type Config struct {
	// Key is equal for equal configurations only. It is empty for the default.
	Key string
	// TLS is nil for the default.
	TLS *tls.Config
	// Proxy is nil for the proxies of the environment.
	Proxy *url.URL
}

// Intercepts reports whether the proxy could read the requests, because the
// configuration brings an authority of its own beside it.
func (c Config) Intercepts() bool { return c.Proxy != nil && c.TLS != nil && c.TLS.RootCAs != nil }

// New returns a transport for the configuration. The context of a request
// bounds the request as a whole; the times here only keep a silent server from
// using all of it up.
func New(c Config) *http.Transport {
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
	if c.Key != "" { // one of many
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 32, 16
	}
	if c.TLS != nil {
		t.TLSClientConfig = c.TLS.Clone() // a transport changes it
	}
	if c.Proxy != nil {
		t.Proxy = http.ProxyURL(c.Proxy)
	}
	return t
}

// checkProxyResponse keeps the status with which a proxy refuses a connection.
func checkProxyResponse(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &ProxyError{StatusCode: resp.StatusCode}
	}
	return nil
}
