// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// harbor imitates Harbor 2 with a public project. How it answers for a project
// that is not there is not imitated.
func harbor() Product {
	const host = "demo.goharbor.io"
	return Product{
		Name:       "Harbor",
		Host:       host,
		Repository: "library/app",
		Anonymous:  true,
		Password:   authn.AuthConfig{Username: "robot$reader", Password: "harbor-password"},
		Referrers:  true,
		install: func(z *Zoo, p Product) {
			var r *Registry
			r = z.add(p,
				WithReferrers(),
				withTokens(&tokenLogin{
					// goharbor/harbor src/server/middleware/v2auth/auth.go
					realm:       "https://" + host + "/service/token",
					service:     "harbor-registry",
					basic:       true,
					open:        []string{http.MethodGet}, // and not HEAD: goharbor/harbor#11271
					rechallenge: `Basic realm="harbor"`,
					// goharbor/harbor src/core/service/token/creator.go: wrong credentials are none, and none are not refused
					// but where no scope is asked for.
					accounts:  []authn.AuthConfig{p.Password},
					anonymous: true,
					lenient:   true,
					refuse:    harborLogin,
					life:      30 * time.Minute, // https://goharbor.io/docs/main/install-config/configure-system-settings-cli/: token_expiration
					fields:    harborToken,
				}),
				// goharbor/harbor src/server/registry/util/util.go: as many as are asked for, and all without a number
				withPaging(paging{
					zero:    true,
					invalid: &refusal{http.StatusBadRequest, errorBody("BAD_REQUEST", "the N must be a positive int type")},
				}),
				withHabit(Any, harborErrors),
				withHabit(Referrers, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
					r.harborReferrers(w, req, next)
				}),
				withFinish(SetHeader("Docker-Distribution-Api-Version", "registry/2.0")), // google/go-containerregistry#1493
			)
		},
	}
}

// harborLogin refuses a token to those who neither log in nor name a scope.
//
// Source: goharbor/harbor src/core/service/token/creator.go
func harborLogin(asked tokenRequest) *refusal {
	if asked.anonymous && len(asked.scopes) == 0 {
		return &refusal{http.StatusUnauthorized, ""}
	}
	return nil
}

// harborToken is the answer with a token.
//
// Source: goharbor/harbor src/core/service/token/authutils.go
func harborToken(token string, life time.Duration) map[string]any {
	return map[string]any{
		"token":      token,
		"expires_in": int(life.Seconds()),
		"issued_at":  time.Now().UTC().Format(time.RFC3339),
	}
}

// harborErrors gives answers with status 404 the one code that Harbor has for
// all that is missing.
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

// harborReferrers answers with an empty document, which names no media type,
// where there is no manifest with the digest.
//
// Source: goharbor/harbor src/server/registry/referrers.go
func (r *Registry) harborReferrers(w http.ResponseWriter, req *http.Request, next http.Handler) {
	if !r.hasManifest(repositoryOf(req), "sha256:"+digestHex.FindString(req.URL.Path)) {
		Body("application/vnd.oci.image.index.v1+json", "{}\n")(w, req, next)
		return
	}
	next.ServeHTTP(w, req)
}
