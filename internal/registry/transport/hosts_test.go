// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"net/url"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestParseHost_RejectsAmbiguousHosts(t *testing.T) {
	cases := map[string]struct {
		reason, host string
		want         string // labels and port, "" is no host
	}{
		"Name":          {reason: "a name", host: "ghcr.io", want: "ghcr|io"},
		"Port":          {reason: "a port", host: "localhost:5000", want: "localhost:5000"},
		"Case":          {reason: "names are case-insensitive", host: "GHCR.io", want: "ghcr|io"},
		"Docker":        {reason: "Docker Hub is normalized to one name", host: "docker.io", want: "index|docker|io"},
		"Address":       {reason: "IPv4 addresses consist of labels", host: "127.0.0.1:5000", want: "127|0|0|1:5000"},
		"IPv6":          {reason: "an IPv6 address is one label", host: "[::1]:5000", want: "[::1]:5000"},
		"IPv6NoPort":    {reason: "colons in brackets don't separate a port", host: "[::1]", want: "[::1]"},
		"BadIPv6":       {reason: "an invalid address", host: "[00]"},
		"ZoneIPv6":      {reason: "a zone is specific to a machine", host: "[fe80::1%eth0]"},
		"Underscore":    {reason: "used by services of compose files", host: "my_registry:5000", want: "my_registry:5000"},
		"Empty":         {reason: "an empty name", host: ""},
		"TrailingDot":   {reason: "the resolver may return another host", host: "ghcr.io."},
		"LeadingDot":    {reason: "an empty label", host: ".ghcr.io"},
		"TwoDots":       {reason: "an empty label", host: "ghcr..io"},
		"User":          {reason: "the host follows the user info", host: "ghcr.io@evil.example"},
		"Password":      {reason: "the host follows the user info", host: "ghcr.io:443@evil.example"},
		"Path":          {reason: "not a host", host: "ghcr.io/org"},
		"Query":         {reason: "not a host", host: "ghcr.io?.example"},
		"Fragment":      {reason: "not a host", host: "evil.example#.ghcr.io"},
		"Backslash":     {reason: "some parsers treat it as a slash", host: `evil.example\.ghcr.io`},
		"Space":         {reason: "not a host", host: "ghcr.io "},
		"Wildcard":      {reason: "not a host", host: "*.ghcr.io"},
		"Escape":        {reason: "some parsers decode it", host: "ghcr%2eio"},
		"Fullwidth":     {reason: "some parsers convert it to ASCII", host: "ｇhcr.io"},
		"Kelvin":        {reason: "a letter with an ASCII lower case", host: "doc\u212aer.io"},
		"IdeographDot":  {reason: "some parsers treat it as a dot", host: "ghcr。io"},
		"Cyrillic":      {reason: "a look-alike letter", host: "ghсr.io"},
		"NamedPort":     {reason: "a port is a number", host: "ghcr.io:https"},
		"EmptyPort":     {reason: "a port is a number", host: "ghcr.io:"},
		"TwoPorts":      {reason: "not a host", host: "ghcr.io:443:80"},
		"LongLabel":     {reason: "longer than DNS allows", host: strings.Repeat("a", 64) + ".io"},
		"LongName":      {reason: "longer than DNS allows", host: strings.Repeat("a.", 130) + "io"},
		"LeadingHyphen": {reason: "an invalid label", host: "-ghcr.io"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			host, ok := ParseHost(tc.host)
			got := strings.Join(host.Labels, "|")
			if host.Port != "" {
				got += ":" + host.Port
			}
			if !ok {
				got = ""
			}
			g.Expect(got).To(Equal(tc.want), tc.reason)
			g.Expect(ok).To(Equal(tc.want != ""), tc.reason)
		})
	}
}

// FuzzParseHost tests that net/url, which requests use, parses an accepted host to the same host.
func FuzzParseHost(f *testing.F) {
	for _, seed := range []string{
		"ghcr.io", "ghcr.io.evil.example", "evilghcr.io", "ghcr.io@evil.example", "ghcr.io:443", "ghcr.io:443@x", "ghcr.io.",
		"GHCR.IO", "ghcr.io/x", "ghcr.io?x", "ghcr.io#x", `ghcr.io\x`, "ｇhcr.io", "doc\u212aer.io", "[::1]:1", "[ghcr.io]", "x.azurecr.io",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", "us-docker.pkg.dev",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, ok := ParseHost(s)
		if !ok {
			return
		}
		u, err := url.Parse("https://" + s + "/v2/")
		if err != nil || u.User != nil || u.Path != "/v2/" || u.RawQuery != "" || u.Fragment != "" || u.Port() != host.Port {
			t.Fatalf("%q is accepted as a host, but net/url returns %v, %v", s, u, err)
		}
		name := strings.Trim(strings.Join(host.Labels, "."), "[]")
		if got := CanonicalHost(u.Hostname()); got != name {
			t.Fatalf("%q is parsed as %q, but net/url returns %q", s, name, got)
		}
	})
}
