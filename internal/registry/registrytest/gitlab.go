// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// gitLab imitates the container registry of GitLab.com, a fork of Distribution 2. Whether its
// token server accepts identity tokens is not published.
func gitLab() Product {
	return Product{
		Name:       "GitLab",
		Host:       "registry.gitlab.com",
		Repository: "gitlab-org/build/cng/gitlab-workhorse-ee",
		Anonymous:  true,
		Password:   authn.AuthConfig{Username: "reader", Password: "gitlab-password"},
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				withTokens(&tokenLogin{
					realm:     "https://gitlab.com/jwt/auth", // oras-project/oras-go#1396
					service:   "container_registry",
					lifetime:  15 * time.Minute, // https://docs.gitlab.com/user/packages/container_registry/authenticate_with_container_registry/
					accounts:  []authn.AuthConfig{p.Password},
					anonymous: true,
					// gitlabhq/gitlabhq app/services/auth/container_registry_authentication_service.rb
					fields: onlyToken,
					reject: gitLabForbidden,
					wrong:  &errorResponse{http.StatusUnauthorized, errorBody("UNAUTHORIZED", "HTTP Basic: Access denied")}, // getwud/wud#1165
				}),
				// https://gitlab.com/gitlab-org/gitlab/-/merge_requests/98215: n is respected,
				// https://gitlab.com/gitlab-org/gitlab/-/issues/359277: and defaults to 100.
				withPaging(paging{size: 100}),
				withManifestBehavior(digestTags),
				distributionBehavior("application/json; charset=utf-8"), // portainer/portainer#2956
				// https://docs.gitlab.com/user/gitlab_com/#container-registry: the CDN
				withBlobStore("cdn.registry.gitlab-static.net", func(hex string) string {
					return "/gitlab/docker/registry/v2/blobs/sha256/" + hex[:2] + "/" + hex + "/data?Signature=1"
				}),
			)
		},
	}
}

// gitLabForbidden rejects a token request if the client may not pull from any of its repositories.
//
// Source: gitlabhq/gitlabhq app/services/auth/container_registry_authentication_service.rb, canonical/microk8s#4754
func gitLabForbidden(request tokenRequest) *errorResponse {
	if len(request.granted) > 0 || len(request.scopes) == 0 && !request.anonymous {
		return nil
	}
	return &errorResponse{http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"access forbidden"}],"http_status":403}`}
}

// digestTag matches a tag of the referrers tag schema.
var digestTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}$`)

// digestTags interprets a tag of the referrers tag schema as the digest in it: it responds with
// the subject instead of the list of its referrers.
//
// Source: oras-project/oras-go#1396
func digestTags(w http.ResponseWriter, req *http.Request, next http.Handler) {
	if tag := path.Base(req.URL.Path); digestTag.MatchString(tag) {
		req = req.Clone(req.Context())
		req.URL.Path = path.Dir(req.URL.Path) + "/" + strings.Replace(tag, "-", ":", 1)
	}
	next.ServeHTTP(w, req)
}
