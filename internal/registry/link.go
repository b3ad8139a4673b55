// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/registry/transport"
)

// nextPage returns the URL of the page after resp, nil if there is none. It fails if the
// link can't be followed, because the list would be incomplete.
func nextPage(resp *http.Response) (*url.URL, error) {
	target, found, err := nextLink(resp.Header.Values("Link"))
	if err != nil || !found {
		return nil, err
	}
	return resolvePage(resp.Request.URL, target)
}

// resolvePage resolves a link on a page of a list. The link must have the host of the
// page, which is the registry or a host that it redirected to. The scheme of the link is
// ignored, because registries behind a proxy that terminates TLS may send "http". The path
// is ignored if both are the same kind of list, because registries behind a path prefix
// may omit the prefix (Artifactory: renovatebot/renovate#15030; Nexus:
// sonatype/nexus-public#1011).
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
	errForeignLink   = transport.ProtocolError("the next page of its list is on another host, and is not requested there")
)

var (
	// link matches the first link of a list of links (RFC 8288, section 3), with its
	// target and its parameters. Commas in quotes do not end it.
	link = regexp.MustCompile(`^<([^>]*)>((?:[^",]|"(?:[^"\\]|\\.)*")*)(?:,|$)`)
	// parameter matches a parameter of a link, with its name and its value, which may
	// be in quotes.
	parameter = regexp.MustCompile(`;\s*([^=;"\s]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))`)
)

// nextLink returns the target of the link with the relation "next" in the values of the
// header Link, and whether there is one. It accepts a link without a relation, because tag
// lists have no other links.
func nextLink(headers []string) (string, bool, error) {
	for _, header := range headers {
		for rest := strings.Trim(header, " \t,"); rest != ""; {
			found := link.FindStringSubmatch(rest)
			if found == nil {
				return "", false, errMalformedLink
			}
			if isNext(found[2]) {
				return found[1], true, nil
			}
			rest = strings.TrimLeft(rest[len(found[0]):], " \t,")
		}
	}
	return "", false, nil
}

// isNext reports whether the parameters of a link have the relation "next", or none.
func isNext(parameters string) bool {
	for _, found := range parameter.FindAllStringSubmatch(parameters, -1) {
		if strings.EqualFold(found[1], "rel") {
			relations := strings.Fields(found[2] + found[3])
			return slices.ContainsFunc(relations, func(r string) bool { return strings.EqualFold(r, "next") })
		}
	}
	return true
}
