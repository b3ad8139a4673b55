// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"strings"
	"time"
)

// registryK8s imitates registry.k8s.io: all that it serves itself is a token
// that means nothing. The rest are redirects. Of the backends by region there
// is one, and that for clients in AWS. Sources are files of
// kubernetes/registry.k8s.io in cmd/archeio/internal/app.
func registryK8s() Product {
	const upstream, path = "us-central1-docker.pkg.dev", "/v2/k8s-artifacts-prod/images/" // handlers_test.go
	return Product{
		Name:       "registry.k8s.io",
		Host:       "registry.k8s.io",
		Repository: "ingress-nginx/controller",
		Anonymous:  true,
		install: func(z *Zoo, p Product) {
			r := z.add(p,
				withTokens(&tokenLogin{
					// handlers.go: the host that was asked, no scope, and an hour for every token.
					realm:     "https://" + p.Host + "/token",
					service:   p.Host,
					life:      time.Hour,
					anonymous: true,
					unbound:   true,
					open:      []string{http.MethodGet, http.MethodHead}, // only the ping is challenged
					fields: func(token string, life time.Duration) map[string]any {
						return map[string]any{"token": token, "expires_in": int(life.Seconds())}
					},
				}),
				withPaging(googlePaging()),
				withSite(upstream, "", nil), // handled below
				withHabit(Any, toUpstream(upstream, path)),
				withBlobStore("prod-registry-k8s-io-us-east-2.s3.dualstack.us-east-2.amazonaws.com", func(hex string) string {
					return "/containers/images/sha256:" + hex // handlers_test.go
				}),
			)
			r.sites[upstream] = site{handler: artifactRegistryAt(r, path)}
		},
	}
}

// toUpstream redirects all requests but pings to the registry that holds the
// images.
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

// artifactRegistryAt serves the images of a registry under a path of Artifact
// Registry, where they are public.
func artifactRegistryAt(r *Registry, path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		inner := req.Clone(req.Context())
		inner.URL.Path = "/v2/" + strings.TrimPrefix(req.URL.Path, path)
		if kindOf(req) == Referrers {
			googleReferrers(w, req, nil)
			return
		}
		r.admitted(w, inner)
	})
}
