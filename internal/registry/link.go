// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// nextPage returns the URL of the page after resp, nil if there is none. It fails if
// there is a link that can't be followed, because the list would be incomplete.
func nextPage(resp *http.Response) (*url.URL, error) {
	target, found, err := nextLink(resp.Header.Values("Link"))
	if err != nil || !found {
		return nil, err
	}
	return resolvePage(resp.Request.URL, target)
}

// resolvePage resolves a link on a page of a list. The link must have the host of the
// page, which is the registry or a host that it redirected to. The scheme of the link
// is ignored: registries behind a proxy that terminates TLS may send "http". So is
// the path if both are the same kind of list: registries behind a path prefix leave it
// out, so that the link is to a list of another repository (Artifactory:
// renovatebot/renovate#15030; Nexus: sonatype/nexus-public#1011).
func resolvePage(page *url.URL, target string) (*url.URL, error) {
	u, err := page.Parse(target)
	if err != nil {
		return nil, errMalformedLink
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.User != nil || transport.URLHost(u) != transport.URLHost(page) {
		return nil, errForeignLink
	}
	u.Scheme, u.Host, u.Fragment = page.Scheme, page.Host, ""
	if resourceOf(u) == resourceOf(page) {
		u.Path, u.RawPath = page.Path, page.RawPath
	}
	return u, nil
}

// resourceOf returns the last two elements of a path, such as "tags/list".
func resourceOf(u *url.URL) string {
	elements := strings.Split(u.Path, "/")
	return strings.Join(elements[max(0, len(elements)-2):], "/")
}

// The errors about links that are not followed.
const (
	errMalformedLink = transport.ProtocolError("the link to the next page of its list is malformed")
	errForeignLink   = transport.ProtocolError("the next page of its list is on another host, where it is not looked for")
)

// nextLink returns the target of the link with the relation "next" in the values
// of the header Link (RFC 8288, section 3), and whether there is one. A link
// without a relation counts, because a tag list has links to nothing else.
func nextLink(headers []string) (string, bool, error) {
	for _, header := range headers {
		rest := strings.Trim(header, " \t,")
		for rest != "" {
			target, params, tail, err := cutLink(rest)
			if err != nil {
				return "", false, err
			}
			if isNext(params) {
				return target, true, nil
			}
			rest = tail
		}
	}
	return "", false, nil
}

// cutLink cuts the first link, `<target>; name=value; …`, off a list of links,
// and returns its target, its parameters and the rest of the list.
func cutLink(s string) (string, []string, string, error) {
	s, found := strings.CutPrefix(s, "<")
	if !found {
		return "", nil, "", errMalformedLink
	}
	target, rest, found := strings.Cut(s, ">")
	if !found {
		return "", nil, "", errMalformedLink
	}
	var params []string
	end := endOfParam(rest, ',')
	for tail := rest[:end]; tail != ""; {
		cut := endOfParam(tail, ';')
		params = append(params, strings.TrimSpace(tail[:cut]))
		tail = tail[min(cut+1, len(tail)):]
	}
	return target, params, strings.Trim(rest[end:], " \t,"), nil
}

// endOfParam returns the index of the first separator outside of quotes, or
// the length of s.
func endOfParam(s string, separator byte) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++ // the next byte is escaped
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			return i
		}
	}
	return len(s)
}

// isNext reports whether the parameters of a link have the relation "next", or none.
func isNext(params []string) bool {
	for _, param := range params {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") {
			relations := strings.Fields(strings.Trim(strings.TrimSpace(value), `"`))
			return slices.ContainsFunc(relations, func(r string) bool { return strings.EqualFold(r, "next") })
		}
	}
	return true
}
