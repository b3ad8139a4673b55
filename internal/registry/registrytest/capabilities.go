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

// site is a further host of a registry's product, such as a blob store. It
// wants no login.
type site struct {
	kind    Kind // of all its requests; empty where the path gives it
	handler http.Handler
}

// withSite gives a registry a further host.
func withSite(host string, kind Kind, handler http.Handler) Option {
	return func(r *Registry) { r.sites[host] = site{kind: kind, handler: handler} }
}

// withAliases serves a registry's API under further hosts.
func withAliases(hosts ...string) Option {
	return func(r *Registry) { r.aliases = append(r.aliases, hosts...) }
}

// trusted returns the hosts that the registry's credentials are meant for: its
// own, and its token server.
func (r *Registry) trusted() []string {
	hosts := slices.Concat([]string{r.host}, r.aliases, r.fronts)
	if l, ok := r.login.(*tokenLogin); ok && l.realm != "" {
		if realm, err := url.Parse(l.realm); err == nil {
			hosts = append(hosts, realm.Host)
		}
	}
	return hosts
}

// withHabit changes the answers to requests of a kind that are logged in. The
// habit that was given last is the outermost.
func withHabit(kind Kind, habit Fault) Option {
	return func(r *Registry) { r.habits = append(r.habits, &injection{kind: kind, fault: habit}) }
}

// withFinish changes all answers of the API, refusals included.
func withFinish(finish Fault) Option { return func(r *Registry) { r.finish = finish } }

// withRefusals gives the body of the answers with status 401. It replaces that
// of the distribution specification.
func withRefusals(body func(*http.Request) string) Option {
	return func(r *Registry) { r.unauthorized = body }
}

// withoutRoutes answers paths that the product has not with the page of a
// server written in Go, before it looks for a login.
func withoutRoutes(missing func(*http.Request) bool) Option {
	return func(r *Registry) { r.missing = missing }
}

// withHabits returns the handler of requests of a kind that are logged in.
func (r *Registry) withHabits(kind Kind) http.Handler {
	var handler http.Handler = http.HandlerFunc(r.admitted)
	for _, h := range r.habits {
		if h.kind == Any || h.kind == kind {
			next := handler
			handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { h.fault(w, req, next) })
		}
	}
	return handler
}

// digestHex matches the hexadecimal digits of a digest in a path.
var digestHex = regexp.MustCompile(`[0-9a-f]{64}`)

// withBlobStore makes a registry redirect requests for blobs to its store on
// another host. path returns path and query there by the 64 digits of a digest.
func withBlobStore(host string, path func(hex string) string) Option {
	return func(r *Registry) {
		withHabit(Blob, func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
			target := "https://" + host + path(digestHex.FindString(req.URL.Path))
			http.Redirect(w, req, target, http.StatusTemporaryRedirect)
		})(r)
		withSite(host, Blob, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			stored := req.Clone(req.Context())
			stored.URL.Path = "/v2/any/blobs/sha256:" + digestHex.FindString(req.URL.Path) // blobs are shared by all repositories
			r.backend.ServeHTTP(w, stored)
		}))(r)
	}
}

// RedirectHost answers with a redirect to the same path and query on another
// host.
func RedirectHost(host string) Fault {
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		http.Redirect(w, req, "https://"+host+req.URL.RequestURI(), http.StatusTemporaryRedirect)
	}
}

// needsAccept answers that there is no such manifest where it is of a media
// type that the client does not accept.
func needsAccept(mediaType, message string) Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, req)
		accepted := strings.Join(req.Header.Values("Accept"), ",")
		if recorder.Header().Get("Content-Type") == mediaType && !strings.Contains(accepted, mediaType) {
			refusal{http.StatusNotFound, errorBody("MANIFEST_UNKNOWN", message)}.write(w)
			return
		}
		replay(w, recorder)
	}
}
