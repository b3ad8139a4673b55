// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// CanonicalHost returns the canonical form of a registry's host and port: in lower case,
// and "index.docker.io" for all hosts of Docker Hub. Only ASCII letters are lowered,
// because the lower case of some others is ASCII, and would be the name of another host.
func CanonicalHost(host string) string {
	host = strings.Map(lowerASCII, host)
	switch host {
	case "docker.io", "registry-1.docker.io":
		return "index.docker.io" // as in image names
	}
	return host
}

func lowerASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + ('a' - 'A')
	}
	return r
}

// URLHost returns the canonical form of a URL's host: in lower case, as in
// CanonicalHost, and without the default port of the scheme.
func URLHost(u *url.URL) string {
	host := strings.Map(lowerASCII, u.Host)
	switch u.Scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// IsHost reports whether a URL has the given host and port. A host without a port has the
// default port of the URL's scheme.
func IsHost(u *url.URL, host string) bool {
	return URLHost(u) == URLHost(&url.URL{Scheme: u.Scheme, Host: host})
}

// Host is the parsed host of a registry, for comparing it label by label.
type Host struct {
	Labels []string // in lower case
	Port   string   // "" if there is none
}

// label matches a label of a DNS name. It accepts underscores, which are not allowed in
// host names, because some hosts have them.
var label = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// port matches a port number.
var port = regexp.MustCompile(`^[0-9]{1,5}$`)

// ParseHost parses "host" or "host:port", and reports whether it is valid. It accepts no
// user, path, non-ASCII letters or trailing dot, which other parsers may interpret as
// another host.
func ParseHost(s string) (Host, bool) {
	name, number := CanonicalHost(s), ""
	if colon := strings.LastIndexByte(name, ':'); colon >= 0 && !strings.HasSuffix(name, "]") {
		name, number = name[:colon], name[colon+1:]
		if !port.MatchString(number) {
			return Host{}, false
		}
	}
	if isIPv6(name) {
		return Host{Labels: []string{name}, Port: number}, true
	}
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if !label.MatchString(l) {
			return Host{}, false
		}
	}
	return Host{Labels: labels, Port: number}, len(name) <= 253
}

// isIPv6 reports whether a host name is an IPv6 address in brackets.
func isIPv6(name string) bool {
	inner, opened := strings.CutPrefix(name, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	address, err := netip.ParseAddr(inner)
	return opened && closed && err == nil && address.Is6() && address.Zone() == ""
}

// isLocal reports whether a name is reserved for the loopback address (RFC 6761).
func (h Host) isLocal() bool {
	return len(h.Labels) > 0 && h.Labels[len(h.Labels)-1] == "localhost"
}
