// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
)

// maxRedirects bounds the redirects of one request.
const maxRedirects = 5

// PlainHTTP reports whether a registry may be reached without TLS: because that is
// configured, or because its host is a loopback or private address. The rule of
// name.Registry.Scheme is wider: it accepts every host whose text contains 127.0.0.1 or
// ::1, such as 2001:db8::1.
func PlainHTTP(registry name.Registry) bool {
	secure, err := name.NewRegistry(registry.RegistryStr())
	switch {
	case registry.Scheme() != "http":
		return false
	case err != nil || registry != secure:
		return true // with name.Insecure
	}
	u := &url.URL{Host: registry.RegistryStr()}
	host, ok := ParseHost(u.Host)
	ip := net.ParseIP(u.Hostname())
	return ok && (host.isLocal() || ip != nil && (ip.IsLoopback() || ip.IsPrivate()))
}

// metadata are the addresses of metadata services, at which clouds serve credentials, that
// are not link-local: those of Alibaba Cloud, and of AWS in IPv6.
//
// Sources: https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata/,
// https://docs.aws.amazon.com/whitepapers/latest/ipv6-on-aws/supporting-amazon-vpc-services.html
var metadata = []net.IP{net.ParseIP("100.100.100.200"), net.ParseIP("fd00:ec2::254")}

// number matches the last label of an IPv4 address in one of the forms of inet_aton, such
// as 127.1 or 0x7f000001, which some resolvers and proxies accept. No domain name ends with
// such a label (RFC 3696, section 2).
var number = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)

// AllowedTarget reports whether a redirect or token realm of a registry may point to u, on
// another host. Metadata services of clouds and link-local addresses are never allowed.
// Loopback and private addresses are allowed only if plain HTTP is, as for registries in
// private networks.
func AllowedTarget(u *url.URL, plainHTTP bool) bool {
	host, ok := ParseHost(u.Host)
	ip := net.ParseIP(u.Hostname())
	switch {
	case !ok:
		return false // a port without a host would be dialed on the local host
	case ip == nil:
		return (plainHTTP || !host.isLocal()) && !number.MatchString(host.Labels[len(host.Labels)-1])
	case slices.ContainsFunc(metadata, ip.Equal):
		return false
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast(), ip.IsUnspecified():
		return false
	default:
		return plainHTTP || !ip.IsLoopback() && !ip.IsPrivate()
	}
}

// CheckRedirect returns the http.Client.CheckRedirect for requests to a registry host. It
// allows redirects to that host and to allowed targets. It does not need to protect
// credentials, because package auth sends them to the registry host only.
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

// Redirects returns the number of redirects that led to a request. It is for RoundTrippers
// of a library's http.Client, whose CheckRedirect can't be set.
func Redirects(req *http.Request) int {
	n := 0
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
		n++
	}
	return n
}
