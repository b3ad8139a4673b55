// SPDX-License-Identifier: Apache-2.0

// Package transport has the RoundTrippers between the registry client and the network.
// Each has one concern. From the outermost to the innermost:
//
//	UserAgent        sets the User-Agent header
//	PlainHTTPGuard   refuses plain HTTP unless it is allowed for the registry
//	(limiter)        counts the request at the limiter of the registry host
//	Throttle         turns 429, and 503 with Retry-After, into a ThrottledError
//	BodyCap          bounds the body of every response
//	Observe          reports every request
//	http.Transport   makes the request, pooled by certificates and proxy
package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Func is a function that implements http.RoundTripper.
type Func func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f Func) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// PlainHTTPGuard refuses plain HTTP requests unless they are allowed. The URL may come from
// a redirect, a page link or a token realm.
func PlainHTTPGuard(inner http.RoundTripper, allowed bool) http.RoundTripper {
	return Func(func(req *http.Request) (*http.Response, error) {
		if req.URL.Scheme != "https" && !allowed {
			return nil, ErrPlainHTTP
		}
		return inner.RoundTrip(req)
	})
}

// UserAgent sets the User-Agent header.
func UserAgent(inner http.RoundTripper, product string) http.RoundTripper {
	return Func(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", product)
		return inner.RoundTrip(req)
	})
}

// Throttle turns responses with status 429, and 503 with Retry-After, into a
// *ThrottledError, because the errors of go-containerregistry do not have the header.
func Throttle(inner http.RoundTripper, now func() time.Time) http.RoundTripper {
	return Func(func(req *http.Request) (*http.Response, error) {
		resp, err := inner.RoundTrip(req)
		if err != nil || !isThrottled(resp) {
			return resp, err
		}
		defer func() { _ = resp.Body.Close() }()
		return nil, &ThrottledError{
			StatusCode: resp.StatusCode,
			RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now()),
		}
	})
}

func isThrottled(resp *http.Response) bool {
	return resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != ""
}

const (
	// defaultRetryAfter is used if the header is missing or malformed.
	defaultRetryAfter = time.Minute
	// minRetryAfter is used if the header has a date in the past.
	minRetryAfter = time.Second
	// maxRetryAfter bounds invalid values, such as a Unix time in place of seconds.
	maxRetryAfter = time.Hour
)

// retryAfter parses the Retry-After header (RFC 9110, section 10.2.3), which has seconds or
// a date.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if seconds, err := strconv.ParseFloat(header, 64); err == nil && seconds >= 0 {
		seconds = min(seconds, maxRetryAfter.Seconds()) // the product must fit a Duration
		return max(time.Duration(seconds*float64(time.Second)), minRetryAfter)
	}
	if date, err := http.ParseTime(header); err == nil {
		return min(max(date.Sub(now), minRetryAfter), maxRetryAfter)
	}
	return defaultRetryAfter
}

// BodyCap makes reads of a body beyond limit bytes fail, so that a truncated body never
// appears complete. Bytes are counted after decompression.
func BodyCap(inner http.RoundTripper, limit int64) http.RoundTripper {
	return Func(func(req *http.Request) (*http.Response, error) {
		resp, err := inner.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		resp.Body = &cappedBody{ReadCloser: resp.Body, left: limit, limit: limit}
		return resp, nil
	})
}

// cappedBody is a body of which at most limit bytes can be read.
type cappedBody struct {
	io.ReadCloser
	left, limit int64
}

// Close implements io.Closer. It discards a few remaining bytes, so that the connection can
// be reused.
func (b *cappedBody) Close() error {
	_, _ = io.CopyN(io.Discard, b.ReadCloser, 4<<10)
	return b.ReadCloser.Close()
}

// Read implements io.Reader. It reads up to one byte more than is left, to distinguish a
// body of exactly the limit from a longer one.
func (b *cappedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		return int(b.left), ProtocolErrorf("it sent more than the %d bytes that are read of one answer", b.limit)
	}
	b.left -= int64(n)
	return n, err
}

// Observe calls observe after each request. The outcome is the HTTP status code, or
// "canceled", "timeout" or "error" if there was no response. The duration is the time until
// the headers of the response.
func Observe(inner http.RoundTripper, now func() time.Time, observe func(outcome string, duration time.Duration)) http.RoundTripper {
	return Func(func(req *http.Request) (*http.Response, error) {
		start := now()
		resp, err := inner.RoundTrip(req)
		observe(outcome(resp, err), now().Sub(start))
		return resp, err
	})
}

// outcome returns the outcome of a request as a metric label with few values.
func outcome(resp *http.Response, err error) string {
	switch {
	case err == nil && http.StatusText(resp.StatusCode) == "":
		return "unknown" // a server could invent hundreds of codes
	case err == nil:
		return strconv.Itoa(resp.StatusCode)
	case errors.Is(err, context.Canceled):
		return "canceled"
	case IsTimeout(err):
		return "timeout"
	default:
		return "error"
	}
}

// IsTimeout reports whether an error is a timeout of the caller's context or of the
// transport. If both are close, either may expire first.
func IsTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// ProtocolError describes an invalid response, without quoting any of its data. Its
// text continues "registry HOST can't be read: ".
type ProtocolError string

// Error implements error.
func (e ProtocolError) Error() string { return string(e) }

// ProtocolErrorf formats a ProtocolError. Its arguments must not be response data.
func ProtocolErrorf(format string, args ...any) error {
	return ProtocolError(fmt.Sprintf(format, args...))
}

// The errors of requests that are not made.
const (
	ErrTooManyRedirects = ProtocolError("it redirects too often")
	ErrBadRedirect      = ProtocolError("it redirects to an address that is not allowed")
	ErrPlainHTTP        = ProtocolError("it leads to an address without TLS: set spec.insecure only if that is intended")
)

// ThrottledError is a response by which a server requests a pause.
type ThrottledError struct {
	StatusCode int
	RetryAfter time.Duration
}

// Error implements error.
func (e *ThrottledError) Error() string { return http.StatusText(e.StatusCode) }

// ProxyError is the response with which a proxy refused a connection.
type ProxyError struct{ StatusCode int }

// Error implements error.
func (e *ProxyError) Error() string { return "proxy: " + http.StatusText(e.StatusCode) }
