// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// distribution2 imitates Distribution 2.8, the image registry:2, with a
// password. What it makes of Docker's multi-arch lists for old clients is not
// imitated.
func distribution2() Product {
	const host = "distribution-2.example.com"
	return Product{
		Name:       "Distribution 2",
		Host:       host,
		Repository: "team/app",
		Password:   authn.AuthConfig{Username: "reader", Password: "distribution-2-password"},
		install: func(z *Zoo, p Product) {
			z.add(p,
				// docker/distribution registry/auth/htpasswd/access.go
				withBasic(p.Password, `Basic realm="Registry Realm"`),
				// All tags are sent, whatever n and last are: distribution/distribution#1936.
				withPaging(paging{whole: true}),
				withManifestHabit(schema1),
				distributionHabits("application/json; charset=utf-8"),
			)
		},
	}
}

// schema1 rewrites an image that is asked for by tag in the first schema, under
// another digest, unless the client accepts the second.
//
// Source: docker/distribution registry/handlers/manifests.go (v2.8.3)
func schema1(w http.ResponseWriter, req *http.Request, next http.Handler) {
	edit(func(recorder *httptest.ResponseRecorder) {
		schema2 := string(types.DockerManifestSchema2)
		tag := path.Base(req.URL.Path)
		if recorder.Header().Get("Content-Type") != schema2 || accepts(req, schema2) || strings.Contains(tag, ":") {
			return
		}
		manifest, _ := json.Marshal(map[string]any{ // strings always encode
			"schemaVersion": 1,
			"name":          repositoryOf(req),
			"tag":           tag,
			"architecture":  "amd64",
			"fsLayers":      []string{},
			"history":       []string{},
			"signatures":    []string{},
		})
		rewrite(recorder, http.StatusOK, string(types.DockerManifestSchema1Signed), string(manifest))
		recorder.Header().Set("Docker-Content-Digest", digestOfBytes(manifest))
	})(w, req, next)
}
