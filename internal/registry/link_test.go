// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"net/url"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestNextLink_ParsesLinkHeader(t *testing.T) {
	cases := map[string]struct {
		reason  string
		headers []string
		want    string
		wantErr bool
	}{
		"None":        {reason: "without a header there is no next page"},
		"Quoted":      {reason: "the usual form", headers: []string{`</a?last=x&n=1>; rel="next"`}, want: "/a?last=x&n=1"},
		"Token":       {reason: "quotes are optional", headers: []string{`</a>; rel=next`}, want: "/a"},
		"NoSpaces":    {reason: "spaces are optional", headers: []string{`</a>;rel="next"`}, want: "/a"},
		"Capitals":    {reason: "names and relations are case-insensitive", headers: []string{`</a>; REL="Next"`}, want: "/a"},
		"NoRelation":  {reason: "a link without a relation is the next page", headers: []string{`</a>`}, want: "/a"},
		"Other":       {reason: "other relations are not followed", headers: []string{`</a>; rel="prev"`}},
		"Second":      {reason: "the next page may follow other links", headers: []string{`</a>; rel="prev", </b>; rel="next"`}, want: "/b"},
		"SecondLine":  {reason: "the header may be repeated", headers: []string{`</a>; rel="prev"`, `</b>; rel="next"`}, want: "/b"},
		"TwoInOne":    {reason: "a link may have several relations", headers: []string{`</a>; rel="last next"`}, want: "/a"},
		"Comma":       {reason: "URLs may contain separators", headers: []string{`</a,b;c>; title="x, <y>; z"; rel="next"`}, want: "/a,b;c"},
		"Escape":      {reason: "quotes may be escaped", headers: []string{`</a>; title="\", <b>"; rel="next"`}, want: "/a"},
		"EmptyParts":  {reason: "empty elements of a list are allowed", headers: []string{`, </a>; rel="prev", , </b>; rel="next",`}, want: "/b"},
		"NoBrackets":  {reason: "a link requires brackets", headers: []string{`/a; rel="next"`}, wantErr: true},
		"NoEnd":       {reason: "an incomplete link", headers: []string{`</a; rel="next"`}, wantErr: true},
		"SecondIsBad": {reason: "an invalid second link", headers: []string{`</a>; rel="prev", b`}, wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got, found, err := nextLink(tc.headers)
			g.Expect(err != nil).To(Equal(tc.wantErr), "%s: got error %v", tc.reason, err)
			if !found {
				got = ""
			}
			g.Expect(got).To(Equal(tc.want), tc.reason)
		})
	}
}

func TestResolvePage_StaysOnOrigin(t *testing.T) {
	const registry = "https://registry.example.com/v2/app/tags/list?n=2"
	cases := map[string]struct {
		reason, page, target string
		want                 string // "" is an error
	}{
		"Absolute path": {reason: "relative to the host", page: registry, target: "/v2/app/tags/list?last=b", want: "https://registry.example.com/v2/app/tags/list?last=b"},
		"Query":         {reason: "relative to the page", page: registry, target: "?last=b", want: "https://registry.example.com/v2/app/tags/list?last=b"},
		"Relative path": {reason: "relative to the page's directory", page: registry, target: "list?last=b", want: "https://registry.example.com/v2/app/tags/list?last=b"},
		"Absolute":      {reason: "with the host", page: registry, target: "https://registry.example.com/x", want: "https://registry.example.com/x"},
		"Port":          {reason: "with the default port of https", page: registry, target: "https://registry.example.com:443/x", want: "https://registry.example.com/x"},
		"Case":          {reason: "hosts are case-insensitive", page: registry, target: "https://Registry.Example.com/x", want: "https://registry.example.com/x"},
		"InnerScheme":   {reason: "the scheme of the page is kept", page: registry, target: "http://registry.example.com/x", want: "https://registry.example.com/x"},
		"Fragment":      {reason: "fragments are removed", page: registry, target: "/x#y", want: "https://registry.example.com/x"},
		"OtherPort":     {reason: "another port is another server", page: registry, target: "https://registry.example.com:444/x"},
		"NoPort":        {reason: "another port is another server", page: "http://127.0.0.1:5000/v2/", target: "http://127.0.0.1/x"},
		"Suffix":        {reason: "a look-alike", page: registry, target: "https://registry.example.com.evil.com/x"},
		"Prefix":        {reason: "a look-alike", page: registry, target: "https://evil-registry.example.com/x"},
		"UserInfo":      {reason: "a look-alike", page: registry, target: "https://registry.example.com@evil.com/x"},
		"UserInfoHere":  {reason: "links must not contain credentials", page: registry, target: "https://a:b@registry.example.com/x"},
		"Backslash":     {reason: "a look-alike for some parsers", page: registry, target: `https://evil.com\@registry.example.com/x`},
		"TrailingDot":   {reason: "a trailing dot is another name", page: registry, target: "https://registry.example.com./x"},
		"NoScheme":      {reason: "a URL without a scheme may have another host", page: registry, target: "//evil.com/x"},
		"OtherScheme":   {reason: "only HTTP is allowed", page: registry, target: "file:///etc/passwd"},
		"Opaque":        {reason: "a URL without a host", page: registry, target: "mailto:x@example.com"},
		"Unicode":       {reason: "a look-alike", page: registry, target: "https://registry.еxample.com/x"},
		"Kelvin":        {reason: "a letter whose lower case is ASCII", page: "https://k.example.com/v2/", target: "https://\u212a.example.com/x"},
		"Malformed":     {reason: "not a URL", page: registry, target: "%zz"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			page, err := url.Parse(tc.page)
			NewWithT(t).Expect(err).NotTo(HaveOccurred())
			got, err := resolvePage(page, tc.target)
			switch {
			case tc.want == "" && err == nil:
				t.Errorf("%s: got %s, want an error", tc.reason, got)
			case tc.want != "" && (err != nil || got.String() != tc.want):
				t.Errorf("%s: got %v, error %v, want %s", tc.reason, got, err, tc.want)
			}
		})
	}
}

// FuzzNextPage tests that no header makes the parser hang, panic, or return a page on another
// origin.
func FuzzNextPage(f *testing.F) {
	for _, seed := range []string{`</a>; rel="next"`, `<//b>`, `<http://h@e/>;rel=next`, `<>;"`, `<a>;\`, `,<a>;;,`} {
		f.Add(seed)
	}
	page, err := url.Parse("https://registry.example.com/v2/app/tags/list")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		target, found, err := nextLink([]string{header})
		if err != nil || !found {
			return
		}
		if !strings.Contains(header, target) {
			t.Fatalf("the target %q is not in the header %q", target, header)
		}
		next, err := resolvePage(page, target)
		if err != nil {
			return
		}
		reparsed, err := url.Parse(next.String())
		if err != nil || reparsed.Scheme != page.Scheme || reparsed.Host != page.Host || reparsed.User != nil {
			t.Fatalf("%q resolves to %q", header, next)
		}
	})
}
