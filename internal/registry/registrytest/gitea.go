// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// gitea imitates the container registry of Gitea, which Forgejo has too. Who
// may pull from a private repository, and its answer to requests for referrers,
// are not imitated.
func gitea() Product {
	const host = "gitea.example.com"
	return Product{
		Name:       "Gitea",
		Host:       host,
		Repository: "team/app",
		Anonymous:  true,
		Password:   authn.AuthConfig{Username: "reader", Password: "gitea-password"},
		install: func(z *Zoo, p Product) {
			z.add(p,
				withTokens(&tokenLogin{
					// go-gitea/gitea#36907 and #25846: one scope for everything, also without credentials
					realm:     "https://" + host + "/v2/token",
					service:   "container_registry",
					pingScope: "*",
					unbound:   true,
					accounts:  []authn.AuthConfig{p.Password},
					anonymous: true,
					basic:     true,           // go-gitea/gitea#34402
					life:      24 * time.Hour, // go-gitea/gitea services/packages/auth.go
					fields:    onlyToken,      // go-gitea/gitea routers/api/packages/container/container.go
				}),
				// microsoft/vscode-docker#4309: the last page of tags names another one, which is empty
				withPaging(paging{always: true}),
				withHabit(Any, giteaErrors),
				withManifestHabit(withETag),
				// go-gitea/gitea routers/api/packages/container/container.go
				withFinish(SetHeader("Docker-Distribution-Api-Version", "registry/2.0")),
			)
		},
	}
}

// giteaErrors gives answers with status 404 the codes of Gitea, which looks for
// a manifest without looking for its repository.
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

// withETag gives manifests an ETag, which is not compared with what a client
// has.
//
// Source: go-gitea/gitea routers/api/packages/container/container.go
func withETag(w http.ResponseWriter, req *http.Request, next http.Handler) {
	edit(func(recorder *httptest.ResponseRecorder) {
		if digest := recorder.Header().Get("Docker-Content-Digest"); digest != "" {
			recorder.Header().Set("Etag", `"`+digest+`"`)
		}
	})(w, req, next)
}
