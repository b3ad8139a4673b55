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

package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// newTransport returns the pooled transport under all sessions. The caller's
// context bounds an operation as a whole. The times here only keep a silent
// server from using all of it up.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
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
	}
}

// newStack puts the concerns that all sessions share above base.
func (c *Client) newStack(base http.RoundTripper) http.RoundTripper {
	observed := &observer{inner: base, now: c.now, observe: func(o Observation) {
		c.metrics.observeRequest(o)
		c.observe(o)
	}}
	capped := &bodyCap{inner: observed, limit: c.limits.BodyBytes}
	return &gated{inner: &throttle{inner: capped, now: c.now}}
}

// plainHTTPGuard refuses requests over plain HTTP where they are not allowed,
// wherever they come from: a redirect, a page link or a token realm.
type plainHTTPGuard struct {
	allowed bool
	inner   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (g *plainHTTPGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.allowed {
		return nil, errPlainHTTP
	}
	return g.inner.RoundTrip(req)
}

// throttle turns the answers by which a server asks for a pause into errors
// that carry it. The authentication would lose the header.
type throttle struct {
	inner http.RoundTripper
	now   func() time.Time
}

// RoundTrip implements http.RoundTripper.
func (t *throttle) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.inner.RoundTrip(req)
	if err != nil || !asksForPause(resp) {
		return resp, err
	}
	defer closeBody(resp)
	return nil, &throttledError{
		status: resp.StatusCode,
		after:  retryAfter(resp.Header.Get("Retry-After"), t.now()),
	}
}

// asksForPause reports whether the server wants no more requests for a while.
func asksForPause(resp *http.Response) bool {
	return resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != ""
}

// bodyCap fails the reading of a body beyond limit bytes, so that a cut body
// is never taken for a whole one. It counts bytes as they are after
// decompression.
type bodyCap struct {
	inner http.RoundTripper
	limit int64
}

// RoundTrip implements http.RoundTripper.
func (c *bodyCap) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.inner.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &cappedBody{ReadCloser: resp.Body, left: c.limit, limit: c.limit}
	return resp, nil
}

// cappedBody is a body of which at most limit bytes can be read.
type cappedBody struct {
	io.ReadCloser
	left, limit int64
}

// Read implements io.Reader. It reads one byte more than is left, to tell a
// body of just that length from a longer one.
func (b *cappedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		return int(b.left), badAnswerf("it sent more than the %d bytes that are read of one answer", b.limit)
	}
	b.left -= int64(n)
	return n, err
}

// Observation is one request that was made.
type Observation struct {
	// Host is the registry's host, and port where there is one, on whose behalf
	// the request was made.
	Host string
	// Outcome is the HTTP status code, or "canceled", "timeout" or "error"
	// where there was no answer.
	Outcome string
	// Duration is the time until the answer's headers were there.
	Duration time.Duration
}

// observer reports each request that is made.
type observer struct {
	inner   http.RoundTripper
	observe func(Observation)
	now     func() time.Time
}

// RoundTrip implements http.RoundTripper.
func (o *observer) RoundTrip(req *http.Request) (*http.Response, error) {
	start := o.now()
	resp, err := o.inner.RoundTrip(req)
	o.observe(Observation{Host: hostOnWhoseBehalf(req), Outcome: outcomeOf(resp, err), Duration: o.now().Sub(start)})
	return resp, err
}

// hostOnWhoseBehalf returns the host of the gate through which a request came.
func hostOnWhoseBehalf(req *http.Request) string {
	if v := visitOf(req.Context()); v != nil {
		return v.gate.host
	}
	return req.URL.Host
}

// outcomeOf names the outcome of a request with few different words, so that
// it can be the label of a metric.
func outcomeOf(resp *http.Response, err error) string {
	switch {
	case err == nil && http.StatusText(resp.StatusCode) == "":
		return "unknown" // a server could think of hundreds
	case err == nil:
		return strconv.Itoa(resp.StatusCode)
	case errors.Is(err, context.Canceled):
		return "canceled"
	case isTimeout(err):
		return "timeout"
	default:
		return "error"
	}
}
