// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// site is a further host of a registry's product, such as a blob store. It requires no login.
type site struct {
	kind    Kind // of all its requests; empty to derive it from the path
	handler http.Handler
}

// withSite adds a host to the product.
func withSite(host string, kind Kind, handler http.Handler) Option {
	return func(r *Registry) { r.sites[host] = site{kind: kind, handler: handler} }
}

// withAliases serves the registry's API under further hosts.
func withAliases(hosts ...string) Option {
	return func(r *Registry) { r.aliases = append(r.aliases, hosts...) }
}

// trusted returns the hosts that may receive the registry's credentials: its own and its token
// server.
func (r *Registry) trusted() []string {
	hosts := slices.Concat([]string{r.host}, r.aliases, r.gateways)
	if l, ok := r.login.(*tokenLogin); ok && l.realm != "" {
		if realm, err := url.Parse(l.realm); err == nil {
			hosts = append(hosts, realm.Host)
		}
	}
	return hosts
}

// withBehavior changes the responses to authenticated requests of a kind. The last one is the
// outermost.
func withBehavior(kind Kind, behavior Fault) Option {
	return func(r *Registry) { r.behaviors = append(r.behaviors, &injection{kind: kind, fault: behavior}) }
}

// withResponseEdit changes all responses of the API, including errors.
func withResponseEdit(responseEdit Fault) Option {
	return func(r *Registry) { r.responseEdit = responseEdit }
}

// withUnauthorizedBody sets the body of responses with status 401. The default is that of the
// distribution specification.
func withUnauthorizedBody(body func(*http.Request) string) Option {
	return func(r *Registry) { r.unauthorized = body }
}

// withoutRoutes makes the registry respond to the missing paths with the 404 page of a Go server,
// without requiring a login.
func withoutRoutes(missing func(*http.Request) bool) Option {
	return func(r *Registry) { r.missing = missing }
}

// withBehaviors returns the handler of authenticated requests of a kind.
func (r *Registry) withBehaviors(kind Kind) http.Handler {
	var handler http.Handler = http.HandlerFunc(r.serveAuthenticated)
	for _, h := range r.behaviors {
		if h.kind == Any || h.kind == kind {
			next := handler
			handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { h.fault(w, req, next) })
		}
	}
	return handler
}

// digestHex matches the hexadecimal digits of a digest in a path.
var digestHex = regexp.MustCompile(`[0-9a-f]{64}`)

// withBlobStore redirects requests for blobs to a store on another host. path returns the path and
// query there for the 64 digits of a digest.
func withBlobStore(host string, path func(hex string) string) Option {
	return func(r *Registry) {
		withBehavior(Blob, func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
			target := "https://" + host + path(digestHex.FindString(req.URL.Path))
			http.Redirect(w, req, target, http.StatusTemporaryRedirect)
		})(r)
		withSite(host, Blob, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			stored := req.Clone(req.Context())
			stored.URL.Path = "/v2/any/blobs/sha256:" + digestHex.FindString(req.URL.Path) // all repositories share their blobs
			r.backend.ServeHTTP(w, stored)
		}))(r)
	}
}

// RedirectHost redirects to the same path and query on another host.
func RedirectHost(host string) Fault {
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		http.Redirect(w, req, "https://"+host+req.URL.RequestURI(), http.StatusTemporaryRedirect)
	}
}

// needsAccept responds that the manifest is unknown if its media type is not accepted by the
// client.
func needsAccept(mediaType, message string) Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, req)
		accepted := strings.Join(req.Header.Values("Accept"), ",")
		if recorder.Header().Get("Content-Type") == mediaType && !strings.Contains(accepted, mediaType) {
			errorResponse{http.StatusNotFound, errorBody("MANIFEST_UNKNOWN", message)}.write(w)
			return
		}
		replay(w, recorder)
	}
}
