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

// quayScope is the form of a scope that the token server can read.
//
// Source: quay/quay endpoints/v2/v2auth.py
var quayScope = regexp.MustCompile(`^repository:(quay\.io/)?[.a-zA-Z0-9_/-]+:(push|pull|\*)(,(push|pull|\*))*$`)

// quay imitates Quay.io. Where its blobs are redirected to is not imitated.
func quay() Product {
	return Product{
		Name:       "Quay",
		Host:       "quay.io",
		Repository: "coreos/etcd",
		Anonymous:  true,
		Password:   authn.AuthConfig{Username: "org+robot", Password: "quay-password"},
		// https://www.redhat.com/en/blog/announcing-open-container-initiativereferrers-api-quayio-step-towards-enhanced-security-and-compliance
		Referrers: true,
		install: func(z *Zoo, p Product) {
			z.add(p,
				WithReferrers(),
				withTokens(&tokenLogin{
					realm:     "https://quay.io/v2/auth",
					service:   "quay.io",
					life:      time.Hour, // quay/quay endpoints/v2/v2auth.py, as all of the token server
					accounts:  []authn.AuthConfig{p.Password},
					anonymous: true,
					open:      []string{http.MethodGet, http.MethodHead}, // quay/quay endpoints/v2/__init__.py: allow_public
					fields:    onlyToken,
					refuse:    quayRefuses,
					noPost:    &refusal{http.StatusMethodNotAllowed, ""}, // the route is for GET
				}),
				withPaging(paging{
					size: 100,
					max:  100,
					// TritonDataCenter/node-docker-registry-client#12, ivanilves/lstags#185, regclient/regclient#272
					cursor: "next_page",
					encode: func(tag string) string { return base64.URLEncoding.EncodeToString([]byte(tag)) },
					decode: decodeCursor,
				}),
				// quay/quay endpoints/v2/__init__.py: also where the ping succeeds.
				withHabit(Ping, SetHeader("WWW-Authenticate", `Bearer realm="https://quay.io/v2/auth",service="quay.io"`)),
			)
		},
	}
}

// quayRefuses refuses scopes that can't be read, and anonymous clients that
// name none. Others get what they may have.
func quayRefuses(asked tokenRequest) *refusal {
	unreadable := slices.ContainsFunc(asked.scopes, func(scope string) bool { return !quayScope.MatchString(scope) })
	switch {
	case unreadable:
		return &refusal{http.StatusBadRequest, errorBody("INVALID_REQUEST", "Unable to decode repository and actions")}
	case asked.anonymous && len(asked.scopes) == 0:
		return &refusal{http.StatusUnauthorized, errorBody("UNAUTHORIZED", "access to the requested resource is not authorized")}
	default:
		return nil
	}
}

// decodeCursor returns the tag in an opaque cursor, which is none where the
// registry did not issue it.
func decodeCursor(cursor string) string {
	tag, _ := base64.URLEncoding.DecodeString(cursor)
	return string(tag)
}
