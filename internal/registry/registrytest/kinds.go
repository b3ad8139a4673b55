// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// kinds maps the method and the next-to-last path element to the kind of a request.
var kinds = map[[2]string]Kind{
	{http.MethodGet, "tags"}:       Tags,
	{http.MethodHead, "manifests"}: ManifestHead,
	{http.MethodGet, "manifests"}:  ManifestGet,
	{http.MethodGet, "blobs"}:      Blob,
	{http.MethodGet, "referrers"}:  Referrers,
}

// kindOf returns the kind of a request to any host of the registry.
func (r *Registry) kindOf(req *http.Request) Kind {
	if r.login.serves(req) {
		return Token
	}
	return cmp.Or(r.sites[req.Host].kind, kindOf(req))
}

// kindOf returns the kind of a request to the registry's API.
func kindOf(req *http.Request) Kind {
	elements := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	parent := elements[max(0, len(elements)-2)]
	switch {
	case req.Method == http.MethodGet && strings.Trim(req.URL.Path, "/") == "v2":
		return Ping
	default:
		return cmp.Or(kinds[[2]string{req.Method, parent}], Other)
	}
}

// repositoryOf returns the repository in the path of a request, such as "library/nginx", or "" for
// a ping.
func repositoryOf(req *http.Request) string {
	elements := strings.Split(strings.TrimPrefix(req.URL.Path, "/v2/"), "/")
	for i, element := range slices.Backward(elements) {
		if i > 0 && slices.Contains([]string{"tags", "manifests", "blobs", "referrers"}, element) {
			return strings.Join(elements[:i], "/")
		}
	}
	return ""
}
