// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// distribution3 imitates Distribution 3.1 with token authentication and default settings. Storage
// errors are not imitated.
func distribution3() Product {
	const host = "distribution-3.example.com"
	return Product{
		Name:          "Distribution 3",
		Host:          host,
		Repository:    "team/app",
		Password:      authn.AuthConfig{Username: "reader", Password: "distribution-3-password"},
		IdentityToken: authn.AuthConfig{IdentityToken: "distribution-3-identity"},
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				withTokens(&tokenLogin{
					realm:    "https://auth." + host + "/token",
					service:  host,
					lifetime: time.Minute, // default of https://distribution.github.io/distribution/spec/auth/token/
					accounts: []authn.AuthConfig{p.Password, p.IdentityToken},
					// distribution/distribution registry/auth/token/accesscontroller.go
					errors: true,
					fields: issuedAt,
				}),
				withPaging(paging{
					// distribution/distribution registry/handlers/tags.go (v3.1.1): without n all tags are
					// listed, and n > 1000 is no longer rejected (distribution/distribution#4844).
					max:         1000,
					zeroIsEmpty: true,
					invalid: &errorResponse{http.StatusBadRequest,
						detailedError("PAGINATION_NUMBER_INVALID", "invalid number of results requested", map[string]int{"n": -1})},
				}),
				distributionBehavior("application/json"),
			)
		},
	}
}

// issuedAt is a response with a token in the form of the token specification.
//
// Source: https://distribution.github.io/distribution/spec/auth/token/
func issuedAt(token string, lifetime time.Duration) map[string]any {
	return map[string]any{
		"token":        token,
		"access_token": token,
		"expires_in":   int(lifetime.Seconds()),
		"issued_at":    time.Now().UTC().Format(time.RFC3339),
	}
}

// etag adds an ETag to manifests, and responds with 304 if the client has the manifest.
//
// Source: distribution/distribution registry/handlers/manifests.go
func etag(w http.ResponseWriter, req *http.Request, next http.Handler) {
	edit(func(recorder *httptest.ResponseRecorder) {
		digest := recorder.Header().Get("Docker-Content-Digest")
		if digest == "" {
			return
		}
		recorder.Header().Set("Etag", `"`+digest+`"`)
		if strings.Trim(req.Header.Get("If-None-Match"), `"`) == digest {
			recorder.Code = http.StatusNotModified
			recorder.Body.Reset()
		}
	})(w, req, next)
}
