// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// gitea imitates the container registry of Gitea and Forgejo. Access to private repositories and
// the response to requests for referrers are not imitated.
func gitea() Product {
	const host = "gitea.example.com"
	return Product{
		Name:       "Gitea",
		Host:       host,
		Repository: "team/app",
		Anonymous:  true,
		Password:   authn.AuthConfig{Username: "reader", Password: "gitea-password"},
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				withTokens(&tokenLogin{
					// go-gitea/gitea#36907 and #25846: one scope for all repositories, also if anonymous
					realm:     "https://" + host + "/v2/token",
					service:   "container_registry",
					pingScope: "*",
					unbound:   true,
					accounts:  []authn.AuthConfig{p.Password},
					anonymous: true,
					basic:     true,           // go-gitea/gitea#34402
					lifetime:  24 * time.Hour, // go-gitea/gitea services/packages/auth.go
					fields:    onlyToken,      // go-gitea/gitea routers/api/packages/container/container.go
				}),
				// microsoft/vscode-docker#4309: the last page of tags links to an empty one
				withPaging(paging{linkAlways: true}),
				withBehavior(Any, giteaErrors),
				withManifestBehavior(withETag),
				// go-gitea/gitea routers/api/packages/container/container.go
				withResponseEdit(SetHeader("Docker-Distribution-Api-Version", "registry/2.0")),
			)
		},
	}
}

// giteaErrors sets the error codes of responses with status 404. Gitea looks up a manifest without
// checking that its repository exists.
//
// Source: go-gitea/gitea routers/api/packages/container/{container,errors}.go
func giteaErrors(w http.ResponseWriter, req *http.Request, next http.Handler) {
	edit(func(recorder *httptest.ResponseRecorder) {
		if recorder.Code != http.StatusNotFound {
			return
		}
		body := map[Kind]string{
			Tags:         errorBody("NAME_UNKNOWN", "repository name not known to registry"),
			ManifestHead: errorBody("MANIFEST_UNKNOWN", "manifest unknown"),
			ManifestGet:  errorBody("MANIFEST_UNKNOWN", "manifest unknown"),
			Blob:         errorBody("BLOB_UNKNOWN", "blob unknown to registry"),
		}[kindOf(req)]
		rewrite(recorder, http.StatusNotFound, "application/json", body)
	})(w, req, next)
}

// withETag adds an ETag to manifests, but ignores If-None-Match.
//
// Source: go-gitea/gitea routers/api/packages/container/container.go
func withETag(w http.ResponseWriter, req *http.Request, next http.Handler) {
	edit(func(recorder *httptest.ResponseRecorder) {
		if digest := recorder.Header().Get("Docker-Content-Digest"); digest != "" {
			recorder.Header().Set("Etag", `"`+digest+`"`)
		}
	})(w, req, next)
}
