// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"net/http/httptest"

	"github.com/google/go-containerregistry/pkg/authn"
)

// zot imitates Zot 2 with a password. Its response to a "last" tag that doesn't exist differs by
// version and is not imitated.
func zot() Product {
	return Product{
		Name:       "Zot",
		Host:       "zot.example.com",
		Repository: "team/app",
		Password:   authn.AuthConfig{Username: "reader", Password: "zot-password"},
		Referrers:  true, // project-zot/zot pkg/api/routes.go: GetReferrers
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				WithReferrers(),
				// project-zot/zot pkg/api/authn.go: authFail
				withBasic(p.Password, `Basic realm="Authorization Required"`),
				withUnauthorizedBody(zotUnauthorized),
				// project-zot/zot#2116: the Link is in brackets; #1777: n=0 returns no tags
				withPaging(paging{zeroIsEmpty: true, invalid: &errorResponse{http.StatusBadRequest, ""}}),
				withBehavior(Any, zotErrors),
			)
		},
	}
}

// zotUnauthorized returns a single error, not a list of errors.
//
// Source: project-zot/zot pkg/api/authn.go and pkg/api/errors/errors.go
func zotUnauthorized(*http.Request) string {
	return `{"code":"UNAUTHORIZED","message":"authentication required","detail":{"description":"The access controller refused the client."}}`
}

// zotErrors sets the error codes of responses with status 404.
//
// Source: project-zot/zot pkg/api/routes.go and pkg/api/errors/errors.go
func zotErrors(w http.ResponseWriter, req *http.Request, next http.Handler) {
	edit(func(recorder *httptest.ResponseRecorder) {
		if recorder.Code != http.StatusNotFound || recorder.Body.Len() == 0 {
			return
		}
		code, message := "MANIFEST_UNKNOWN", "manifest unknown"
		if kindOf(req) == Tags {
			code, message = "NAME_UNKNOWN", "repository name not known to registry"
		}
		body := detailedError(code, message, map[string]string{"name": repositoryOf(req)})
		rewrite(recorder, http.StatusNotFound, "application/json", body)
	})(w, req, next)
}
