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
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// dockerHub is the host of Docker Hub as image names have it.
const dockerHub = "index.docker.io"

// canonicalHost returns one spelling of a registry's host and port: in lower
// case, and with the one name for Docker Hub, which has several. Only ASCII
// letters are lowered: some others would turn into ASCII, and so one host into
// another.
func canonicalHost(host string) string {
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

// registryHost is the parsed host of a registry, to be compared by its labels.
// The zero value is no host, and matches nothing.
type registryHost struct {
	labels []string // in lower case
	port   string   // "" where none is written
}

// wellFormedLabel is one label of the name of a host, as DNS has them.
// Underscores are no part of the names of hosts, but of some in use.
var wellFormedLabel = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// wellFormedPort is the number of a port.
var wellFormedPort = regexp.MustCompile(`^[0-9]{1,5}$`)

// parseHost parses "host" or "host:port". It knows no user, no path, no
// letters beyond ASCII, and no dot at the end: with any of those it is no host,
// because what looks like one to us may be another one to somebody else.
func parseHost(s string) (registryHost, bool) {
	name, port := canonicalHost(s), ""
	if colon := strings.LastIndexByte(name, ':'); colon >= 0 && !strings.HasSuffix(name, "]") {
		name, port = name[:colon], name[colon+1:]
		if !wellFormedPort.MatchString(port) {
			return registryHost{}, false
		}
	}
	if isIPv6(name) {
		return registryHost{labels: []string{name}, port: port}, true
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !wellFormedLabel.MatchString(label) {
			return registryHost{}, false
		}
	}
	return registryHost{labels: labels, port: port}, len(name) <= 253
}

// isIPv6 reports whether a name is an IPv6 address in brackets.
func isIPv6(name string) bool {
	inner, opened := strings.CutPrefix(name, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	address, err := netip.ParseAddr(inner)
	return opened && closed && err == nil && address.Is6() && address.Zone() == ""
}

// hostOfImage returns the host of an image's registry.
func hostOfImage(img image.Name) (registryHost, bool) { return parseHost(img.Host()) }

// equal reports whether both are the same host and port, as they are written.
func (h registryHost) equal(other registryHost) bool {
	return len(h.labels) > 0 && h.port == other.port && slices.Equal(h.labels, other.labels)
}

// isLocal reports whether a name is kept for the machine itself, by RFC 6761.
func (h registryHost) isLocal() bool {
	return len(h.labels) > 0 && h.labels[len(h.labels)-1] == "localhost"
}

// matches reports whether each label of the host matches a pattern: the same
// text, or what a labelPattern says. A pattern that begins with "**" takes any
// number of labels, but at least one, in place of it.
func (h registryHost) matches(pattern string) bool {
	want := strings.Split(pattern, ".")
	have := h.labels
	if want[0] == "**" {
		want = want[1:]
		if len(have) <= len(want) {
			return false
		}
		have = have[len(have)-len(want):]
	}
	return slices.EqualFunc(have, want, matchLabel)
}

// labelPatterns are the words of patterns that stand for more than one label.
var labelPatterns = map[string]*regexp.Regexp{
	"ACCOUNT":        regexp.MustCompile(`^[0-9]{12}$`),
	"REGION":         regexp.MustCompile(`^[a-z]{2,}(-[a-z0-9]+)+$`),
	"LOCATION":       regexp.MustCompile(`^[a-z][a-z0-9-]*-docker$`),
	"ecr[-fips]":     regexp.MustCompile(`^ecr(-fips)?$`),
	"dkr-ecr[-fips]": regexp.MustCompile(`^dkr-ecr(-fips)?$`),
}

func matchLabel(have, want string) bool {
	if pattern, found := labelPatterns[want]; found {
		return pattern.MatchString(have)
	}
	return have == want
}
