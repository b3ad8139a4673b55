// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// harbor imitates Harbor 2 with a public project. Its response for a missing project is not
// imitated.
func harbor() Product {
	const host = "demo.goharbor.io"
	return Product{
		Name:       "Harbor",
		Host:       host,
		Repository: "library/app",
		Anonymous:  true,
		Password:   authn.AuthConfig{Username: "robot$reader", Password: "harbor-password"},
		Referrers:  true,
		install: func(f *FakeRegistries, p Product) {
			var r *Registry
			r = f.add(p,
				WithReferrers(),
				withTokens(&tokenLogin{
					// goharbor/harbor src/server/middleware/v2auth/auth.go
					realm:       "https://" + host + "/service/token",
					service:     "harbor-registry",
					basic:       true,
					open:        []string{http.MethodGet}, // but not HEAD: goharbor/harbor#11271
					rechallenge: `Basic realm="harbor"`,
					// goharbor/harbor src/core/service/token/creator.go: wrong credentials are treated as
					// anonymous, and anonymous requests are rejected only if they name no scope.
					accounts:  []authn.AuthConfig{p.Password},
					anonymous: true,
					lenient:   true,
					reject:    harborReject,
					lifetime:  30 * time.Minute, // https://goharbor.io/docs/main/install-config/configure-system-settings-cli/: token_expiration
					fields:    harborToken,
				}),
				// goharbor/harbor src/server/registry/util/util.go: no maximum, and all tags without n
				withPaging(paging{
					zeroIsEmpty: true,
					invalid:     &errorResponse{http.StatusBadRequest, errorBody("BAD_REQUEST", "the N must be a positive int type")},
				}),
				withBehavior(Any, harborErrors),
				withBehavior(Referrers, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
					r.harborReferrers(w, req, next)
				}),
				withResponseEdit(SetHeader("Docker-Distribution-Api-Version", "registry/2.0")), // google/go-containerregistry#1493
			)
		},
	}
}

// harborReject rejects an anonymous token request without a scope.
//
// Source: goharbor/harbor src/core/service/token/creator.go
func harborReject(request tokenRequest) *errorResponse {
	if request.anonymous && len(request.scopes) == 0 {
		return &errorResponse{http.StatusUnauthorized, ""}
	}
	return nil
}

// harborToken is the response with a token.
//
// Source: goharbor/harbor src/core/service/token/authutils.go
func harborToken(token string, lifetime time.Duration) map[string]any {
	return map[string]any{
		"token":      token,
		"expires_in": int(lifetime.Seconds()),
		"issued_at":  time.Now().UTC().Format(time.RFC3339),
	}
}

// harborErrors sets the one error code that Harbor has for missing resources.
//
// Source: goharbor/harbor src/lib/http/error.go
func harborErrors(w http.ResponseWriter, req *http.Request, next http.Handler) {
	edit(func(recorder *httptest.ResponseRecorder) {
		if recorder.Code == http.StatusNotFound {
			body := errorBody("NOT_FOUND", "resource of "+repositoryOf(req)+" not found")
			rewrite(recorder, http.StatusNotFound, "application/json; charset=utf-8", body)
		}
	})(w, req, next)
}

// harborReferrers responds with an empty document without a media type if no manifest has the
// digest.
//
// Source: goharbor/harbor src/server/registry/referrers.go
func (r *Registry) harborReferrers(w http.ResponseWriter, req *http.Request, next http.Handler) {
	if !r.hasManifest(repositoryOf(req), "sha256:"+digestHex.FindString(req.URL.Path)) {
		Body("application/vnd.oci.image.index.v1+json", "{}\n")(w, req, next)
		return
	}
	next.ServeHTTP(w, req)
}
