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
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// dockerHub is the host of Docker Hub as image names have it.
const dockerHub = "index.docker.io"

// CanonicalHost returns one spelling of a registry's host and port: in lower
// case, and with the one name for Docker Hub, which has several. Only ASCII
// letters are lowered: the lower case of some others is ASCII, which would turn
// one host into another.
func CanonicalHost(host string) string {
	host = strings.Map(lowerASCII, host)
	switch host {
	case "docker.io", "registry-1.docker.io":
		return dockerHub
	}
	return host
}

func lowerASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + ('a' - 'A')
	}
	return r
}

// URLHost returns the host of an address in one spelling: in lower case, and
// without the port that its scheme implies. Only ASCII letters are lowered, as in
// CanonicalHost.
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

// IsHost reports whether an address is on a registry host, port included, if
// that is reached by the scheme of the address.
func IsHost(u *url.URL, host string) bool {
	return URLHost(u) == URLHost(&url.URL{Scheme: u.Scheme, Host: host})
}

// Host is the parsed host of a registry, to be compared label by label. The zero
// value is no host, and equals nothing.
type Host struct {
	Labels []string // in lower case
	Port   string   // "" if none is written
}

// label is one label of the name of a host in DNS. Host names have no
// underscores, but some in use do.
var label = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// port is the number of a port.
var port = regexp.MustCompile(`^[0-9]{1,5}$`)

// ParseHost parses "host" or "host:port", and reports whether it is one. It
// accepts no user, no path, no letters beyond ASCII, and no dot at the end: with
// any of those, other parsers may see another host.
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

// isIPv6 reports whether a name is an IPv6 address in brackets.
func isIPv6(name string) bool {
	inner, opened := strings.CutPrefix(name, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	address, err := netip.ParseAddr(inner)
	return opened && closed && err == nil && address.Is6() && address.Zone() == ""
}

// Equal reports whether both are the same host and port, as they are written.
func (h Host) Equal(other Host) bool {
	return len(h.Labels) > 0 && h.Port == other.Port && slices.Equal(h.Labels, other.Labels)
}

// isLocal reports whether a name is reserved for the machine itself (RFC 6761).
func (h Host) isLocal() bool {
	return len(h.Labels) > 0 && h.Labels[len(h.Labels)-1] == "localhost"
}
