// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"strings"
	"time"
)

// registryK8s imitates registry.k8s.io: it serves only tokens, which it doesn't check, and
// redirects all other requests. It has one of the regional backends, that for clients in AWS.
// Sources are files of kubernetes/registry.k8s.io in cmd/archeio/internal/app.
func registryK8s() Product {
	const upstream, path = "us-central1-docker.pkg.dev", "/v2/k8s-artifacts-prod/images/" // handlers_test.go
	return Product{
		Name:       "registry.k8s.io",
		Host:       "registry.k8s.io",
		Repository: "ingress-nginx/controller",
		Anonymous:  true,
		install: func(f *FakeRegistries, p Product) {
			r := f.add(p,
				withTokens(&tokenLogin{
					// handlers.go: the requested host, no scope, and tokens that are valid for one hour.
					realm:     "https://" + p.Host + "/token",
					service:   p.Host,
					lifetime:  time.Hour,
					anonymous: true,
					unbound:   true,
					open:      []string{http.MethodGet, http.MethodHead}, // only the ping requires a token
					fields: func(token string, lifetime time.Duration) map[string]any {
						return map[string]any{"token": token, "expires_in": int(lifetime.Seconds())}
					},
				}),
				withPaging(googlePaging()),
				withSite(upstream, "", nil), // its handler is set below
				withBehavior(Any, toUpstream(upstream, path)),
				withBlobStore("prod-registry-k8s-io-us-east-2.s3.dualstack.us-east-2.amazonaws.com", func(hex string) string {
					return "/containers/images/sha256:" + hex // handlers_test.go
				}),
			)
			r.sites[upstream] = site{handler: artifactRegistryAt(r, path)}
		},
	}
}

// toUpstream redirects all requests except pings to the registry with the images.
//
// Source: handlers.go, and handlers_test.go for the query
func toUpstream(host, path string) Fault {
	return func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if repositoryOf(req) == "" {
			next.ServeHTTP(w, req)
			return
		}
		query := req.URL.Query()
		query.Set("rid", "0123456789abcdef0123456789abcdef")
		target := "https://" + host + path + strings.TrimPrefix(req.URL.Path, "/v2/") + "?" + query.Encode()
		http.Redirect(w, req, target, http.StatusTemporaryRedirect)
	}
}

// artifactRegistryAt serves a registry's images under a path of Artifact Registry, where they are
// public.
func artifactRegistryAt(r *Registry, path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		inner := req.Clone(req.Context())
		inner.URL.Path = "/v2/" + strings.TrimPrefix(req.URL.Path, path)
		if kindOf(req) == Referrers {
			googleReferrers(w, req, nil)
			return
		}
		r.serveAuthenticated(w, inner)
	})
}
