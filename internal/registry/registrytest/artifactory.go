// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// artifactory imitates JFrog Artifactory with image names that start with an Artifactory
// repository. The service in its challenge is not published.
func artifactory() Product {
	const host = "artifactory.example.com"
	return Product{
		Name:       "Artifactory",
		Host:       host,
		Repository: "docker/team/app",
		Password:   authn.AuthConfig{Username: "reader", Password: "artifactory-password"},
		Referrers:  true, // since 7.117: oras-project/oras#2047
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				WithReferrers(),
				withTokens(&tokenLogin{
					// https://jfrog.com/help/r/how-to-troubleshoot-docker-problems, renovatebot/renovate#11765:
					// the token server is part of the repository, and needs no scope.
					realm:    "https://" + host + "/artifactory/api/docker/docker/v2/token",
					lifetime: time.Hour,
					accounts: []authn.AuthConfig{p.Password},
					unbound:  true,
					fields:   artifactoryToken,
				}),
				withPaging(paging{link: artifactoryLink}),
				withBehavior(Tags, notAcceptable),
				withManifestBehavior(forbiddenTags),
				withResponseEdit(SetHeader("X-Artifactory-Id", "fake")), // renovatebot/renovate#17941
			)
		},
	}
}

// artifactoryToken is the response with a token.
//
// Source: https://jfrog.com/help/r/how-to-troubleshoot-docker-problems
func artifactoryToken(token string, lifetime time.Duration) map[string]any {
	return map[string]any{"token": token, "expires_in": int(lifetime.Seconds())}
}

// artifactoryLink writes the Link header without the Artifactory repository: a client that follows
// it requests another image.
//
// Source: renovatebot/renovate#15030 and #35917
func artifactoryLink(req *http.Request, next url.Values) string {
	_, image, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/")
	return fmt.Sprintf(`</v2/%s?%s>; rel="next"`, image, next.Encode())
}

// notAcceptable rejects requests for tag lists that accept manifests only.
//
// Source: renovatebot/renovate#3078 and #3124
func notAcceptable(w http.ResponseWriter, req *http.Request, next http.Handler) {
	accepted := strings.Join(req.Header.Values("Accept"), ",")
	if accepted != "" && !strings.Contains(accepted, "application/json") && !strings.Contains(accepted, "*/*") {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	next.ServeHTTP(w, req)
}

// forbiddenTags responds to a request for a missing tag as if the client may not read it.
//
// Source: sigstore/cosign#2973
func forbiddenTags(w http.ResponseWriter, req *http.Request, next http.Handler) {
	edit(func(recorder *httptest.ResponseRecorder) {
		if recorder.Code != http.StatusNotFound {
			return
		}
		detail := map[string]string{"manifest": repositoryOf(req)}
		body := detailedError("UNAUTHORIZED", "The client does not have permission for manifest", detail)
		rewrite(recorder, http.StatusForbidden, "application/json", body)
	})(w, req, next)
}
