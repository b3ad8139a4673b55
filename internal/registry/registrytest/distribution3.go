// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// distribution3 imitates Distribution 3.1 with token authentication, as it is
// without a configuration of its own. Errors of its storage are not imitated.
func distribution3() Product {
	const host = "distribution-3.example.com"
	return Product{
		Name:          "Distribution 3",
		Host:          host,
		Repository:    "team/app",
		Password:      authn.AuthConfig{Username: "reader", Password: "distribution-3-password"},
		IdentityToken: authn.AuthConfig{IdentityToken: "distribution-3-identity"},
		install: func(z *Zoo, p Product) {
			z.add(p,
				withTokens(&tokenLogin{
					realm:    "https://auth." + host + "/token",
					service:  host,
					life:     time.Minute, // default of https://distribution.github.io/distribution/spec/auth/token/
					accounts: []authn.AuthConfig{p.Password, p.IdentityToken},
					// distribution/distribution registry/auth/token/accesscontroller.go
					errors: true,
					fields: issuedAt,
				}),
				withPaging(paging{
					// distribution/distribution registry/handlers/tags.go (v3.1.1): without a number all are listed,
					// and more than 1000 are not refused any longer (distribution/distribution#4844).
					max:  1000,
					zero: true,
					invalid: &refusal{http.StatusBadRequest,
						detailedError("PAGINATION_NUMBER_INVALID", "invalid number of results requested", map[string]int{"n": -1})},
				}),
				distributionHabits("application/json"),
			)
		},
	}
}

// issuedAt is an answer with a token as the specification of the token protocol
// has it.
//
// Source: https://distribution.github.io/distribution/spec/auth/token/
func issuedAt(token string, life time.Duration) map[string]any {
	return map[string]any{
		"token":        token,
		"access_token": token,
		"expires_in":   int(life.Seconds()),
		"issued_at":    time.Now().UTC().Format(time.RFC3339),
	}
}

// etag gives manifests an ETag, and answers 304 where the client has the manifest.
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
