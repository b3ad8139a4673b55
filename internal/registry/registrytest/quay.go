// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// quayScope matches the scopes that the token server can parse.
//
// Source: quay/quay endpoints/v2/v2auth.py
var quayScope = regexp.MustCompile(`^repository:(quay\.io/)?[.a-zA-Z0-9_/-]+:(push|pull|\*)(,(push|pull|\*))*$`)

// quay imitates Quay.io. The redirects of its blobs are not imitated.
func quay() Product {
	return Product{
		Name:       "Quay",
		Host:       "quay.io",
		Repository: "coreos/etcd",
		Anonymous:  true,
		Password:   authn.AuthConfig{Username: "org+robot", Password: "quay-password"},
		// https://www.redhat.com/en/blog/announcing-open-container-initiativereferrers-api-quayio-step-towards-enhanced-security-and-compliance
		Referrers: true,
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				WithReferrers(),
				withTokens(&tokenLogin{
					realm:        "https://quay.io/v2/auth",
					service:      "quay.io",
					lifetime:     time.Hour, // quay/quay endpoints/v2/v2auth.py, like the rest of the token server
					accounts:     []authn.AuthConfig{p.Password},
					anonymous:    true,
					open:         []string{http.MethodGet, http.MethodHead}, // quay/quay endpoints/v2/__init__.py: allow_public
					fields:       onlyToken,
					reject:       quayReject,
					postResponse: &errorResponse{http.StatusMethodNotAllowed, ""}, // the route supports GET only
				}),
				withPaging(paging{
					size: 100,
					max:  100,
					// TritonDataCenter/node-docker-registry-client#12, ivanilves/lstags#185, regclient/regclient#272
					cursor: "next_page",
					encode: func(tag string) string { return base64.URLEncoding.EncodeToString([]byte(tag)) },
					decode: decodeCursor,
				}),
				// quay/quay endpoints/v2/__init__.py: also if the ping succeeds.
				withBehavior(Ping, SetHeader("WWW-Authenticate", `Bearer realm="https://quay.io/v2/auth",service="quay.io"`)),
			)
		},
	}
}

// quayReject rejects scopes that can't be parsed, and anonymous requests without a scope.
// Otherwise it grants what is allowed.
func quayReject(request tokenRequest) *errorResponse {
	unreadable := slices.ContainsFunc(request.scopes, func(scope string) bool { return !quayScope.MatchString(scope) })
	switch {
	case unreadable:
		return &errorResponse{http.StatusBadRequest, errorBody("INVALID_REQUEST", "Unable to decode repository and actions")}
	case request.anonymous && len(request.scopes) == 0:
		return &errorResponse{http.StatusUnauthorized, errorBody("UNAUTHORIZED", "access to the requested resource is not authorized")}
	default:
		return nil
	}
}

// decodeCursor returns the tag in an opaque cursor, or "" if the cursor is invalid.
func decodeCursor(cursor string) string {
	tag, _ := base64.URLEncoding.DecodeString(cursor)
	return string(tag)
}
