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

// distribution2 imitates Distribution 2.8, the image registry:2, with a password. The conversion
// of Docker's multi-arch lists for old clients is not imitated.
func distribution2() Product {
	const host = "distribution-2.example.com"
	return Product{
		Name:       "Distribution 2",
		Host:       host,
		Repository: "team/app",
		Password:   authn.AuthConfig{Username: "reader", Password: "distribution-2-password"},
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				// docker/distribution registry/auth/htpasswd/access.go
				withBasic(p.Password, `Basic realm="Registry Realm"`),
				// n and last are ignored: distribution/distribution#1936.
				withPaging(paging{unpaged: true}),
				withManifestBehavior(schema1),
				distributionBehavior("application/json; charset=utf-8"),
			)
		},
	}
}

// schema1 converts an image that is requested by tag to schema 1, with a different digest, unless
// the client accepts schema 2.
//
// Source: docker/distribution registry/handlers/manifests.go (v2.8.3)
func schema1(w http.ResponseWriter, req *http.Request, next http.Handler) {
	edit(func(recorder *httptest.ResponseRecorder) {
		schema2 := string(types.DockerManifestSchema2)
		tag := path.Base(req.URL.Path)
		if recorder.Header().Get("Content-Type") != schema2 || accepts(req, schema2) || strings.Contains(tag, ":") {
			return
		}
		manifest, _ := json.Marshal(map[string]any{ // encoding strings can't fail
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
