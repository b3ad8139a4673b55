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
	"fmt"
	"net/http"
	"time"
)

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

// ThrottledError is a response that asks the client to wait.
type ThrottledError struct {
	StatusCode int
	RetryAfter time.Duration
}

// Error implements error.
func (e *ThrottledError) Error() string { return http.StatusText(e.StatusCode) }

// ProxyError is the response of a proxy that refuses a connection.
type ProxyError struct{ StatusCode int }

// Error implements error.
func (e *ProxyError) Error() string { return "proxy: " + http.StatusText(e.StatusCode) }
