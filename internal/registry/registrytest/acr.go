// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// acr imitates a registry of Azure Container Registry. The default page size is published for an
// older API only.
func acr() Product {
	const (
		host  = "contosoregistry.azurecr.io"
		store = "contosostorage.blob.core.windows.net"
	)
	return Product{
		Name:       "ACR",
		Host:       host,
		Repository: "hello-world",
		Password:   authn.AuthConfig{Username: "contosoregistry", Password: "acr-password"},
		// https://azure.github.io/acr/AAD-OAuth.html: the refresh token.
		IdentityToken: authn.AuthConfig{IdentityToken: "acr-identity"},
		Referrers:     true, // https://learn.microsoft.com/azure/container-registry/container-registry-manage-artifact
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				WithReferrers(),
				withTokens(&tokenLogin{
					// https://azure.github.io/acr/Token-BasicAuth.html
					// bazelbuild/rules_docker#1193: no scope in the challenge to the ping
					realm:    "https://" + host + "/oauth2/token",
					service:  host,
					lifetime: 75 * time.Minute, // exp and iat of the token on https://azure.github.io/acr/AAD-OAuth.html
					accounts: []authn.AuthConfig{p.Password, p.IdentityToken},
					basic:    true, // https://azure.github.io/acr/AAD-OAuth.html: admin keys work with basic auth
					fields:   onlyAccessToken,
				}),
				withUnauthorizedBody(acrUnauthorized),
				withPaging(paging{
					// Azure/acr#749: always 1000.
					size: 1000,
					max:  1000,
					link: acrLink,
				}),
				withBlobStore(store, func(hex string) string {
					// Azure/acr#324, https://learn.microsoft.com/azure/container-registry/container-registry-dedicated-data-endpoints
					return "/layers/" + hex + "?se=2026-01-01T00%3A00%3A00Z&sig=1&sp=r&sr=b"
				}),
				withSignedURLs(store),
			)
		},
	}
}

// onlyAccessToken is a response with the token in the field of OAuth 2.
//
// Source: https://azure.github.io/acr/Token-BasicAuth.html
func onlyAccessToken(token string, _ time.Duration) map[string]any {
	return map[string]any{"access_token": token}
}

// acrUnauthorized returns an error with the missing access.
//
// Source: https://azure.github.io/acr/Token-BasicAuth.html
func acrUnauthorized(req *http.Request) string {
	type access struct{ Type, Name, Action string }
	detail, _ := json.Marshal([]access{{"repository", repositoryOf(req), "pull"}}) // encoding strings can't fail
	return detailedError("UNAUTHORIZED", "authentication required", json.RawMessage(detail))
}

// acrLink writes the Link header with an empty order.
//
// Source: https://azure.github.io/acr/AAD-OAuth.html
func acrLink(req *http.Request, next url.Values) string {
	next.Set("orderby", "")
	return fmt.Sprintf(`<%s?%s>; rel="next"`, req.URL.Path, next.Encode())
}

// withSignedURLs makes a blob store reject requests with an Authorization header in addition to
// the signature in their URL.
//
// Source: Azure/acr#217, renovatebot/renovate#6641
func withSignedURLs(host string) Option {
	return func(r *Registry) {
		stored := r.sites[host]
		withSite(host, stored.kind, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Header.Get("Authorization") == "" {
				stored.handler.ServeHTTP(w, req)
				return
			}
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte("<Error><Code>InvalidAuthenticationInfo</Code>" +
				"<Message>Authentication information is not given in the correct format.</Message></Error>"))
		}))(r)
	}
}
