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
	"net"
	"net/http"
	"net/url"
)

// maxRedirects bounds the redirects of one request.
const maxRedirects = 5

// AllowedTarget reports whether a redirect or token realm of a registry may point to
// u, on another host. Link-local addresses, at which clouds serve credentials, are
// never allowed; loopback and private ones only if plain HTTP is, as it is for
// registries in private networks.
func AllowedTarget(u *url.URL, plainHTTP bool) bool {
	host, ok := ParseHost(u.Host)
	ip := net.ParseIP(u.Hostname())
	switch {
	case !ok:
		return false // a port without a host would be dialed on this machine
	case ip == nil: // "localhost" is reserved for the loopback address (RFC 6761)
		return plainHTTP || host.Labels[len(host.Labels)-1] != "localhost"
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast(), ip.IsUnspecified():
		return false
	default:
		return plainHTTP || !ip.IsLoopback() && !ip.IsPrivate()
	}
}

// CheckRedirect returns the http.Client.CheckRedirect for requests to a registry
// host. It allows redirects to that host and to allowed targets. It need not
// protect credentials: package auth sends them to the registry host only.
func CheckRedirect(host string, plainHTTP bool) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		switch {
		case len(via) > maxRedirects:
			return ErrTooManyRedirects
		case req.URL.Scheme != "https" && !plainHTTP:
			return ErrPlainHTTP
		case req.URL.Scheme != "https" && req.URL.Scheme != "http":
			return ErrBadRedirect
		case IsHost(req.URL, host), AllowedTarget(req.URL, plainHTTP):
			return nil
		default:
			return ErrBadRedirect
		}
	}
}

// Redirects returns the number of redirects that led to a request, for RoundTrippers
// below an http.Client of a library, whose CheckRedirect can't be set.
func Redirects(req *http.Request) int {
	n := 0
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
		n++
	}
	return n
}
