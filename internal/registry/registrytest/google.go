// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// google imitates the common behavior of Google's registries.
func google(name, host, repository, service string) Product {
	return Product{
		Name:       name,
		Host:       host,
		Repository: repository,
		Anonymous:  true,
		// https://cloud.google.com/artifact-registry/docs/docker/authentication#token
		Password: authn.AuthConfig{Username: "oauth2accesstoken", Password: host + "-password"},
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				withTokens(&tokenLogin{
					realm:     "https://" + host + "/v2/token", // nicholas-fedor/watchtower#1894, davedoesdev/dxf#28
					service:   service,
					lifetime:  5 * time.Minute,
					accounts:  []authn.AuthConfig{p.Password},
					anonymous: true,
					open:      []string{http.MethodGet, http.MethodHead}, // comment in kubernetes/registry.k8s.io cmd/archeio/internal/app/handlers.go
					fields:    onlyToken,
					// containerd/containerd#4379, #8415: rejects a scope that is not granted.
					reject: rejectExcess(errorResponse{http.StatusForbidden, errorBody("DENIED", "Permission denied")}),
				}),
				withPaging(googlePaging()),
				withBehavior(Referrers, googleReferrers),
				withSite(googleLogin, "", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { HTML()(w, req, nil) })),
				withBehavior(Any, SetHeader("Docker-Distribution-Api-Version", "registry/2.0")), // containerd/containerd#4379
			)
		},
	}
}

// googleLogin is the host of the login page.
const googleLogin = "accounts.google.com"

// googleReferrers redirects to a login page with status 200. The URL of the page is not published,
// except that it is one of Google's.
//
// Source: google/go-containerregistry#1968
func googleReferrers(w http.ResponseWriter, req *http.Request, _ http.Handler) {
	http.Redirect(w, req, "https://"+googleLogin+"/ServiceLogin", http.StatusFound)
}

// googlePaging lists all tags in one page, with their manifests and the child repositories.
// Numbers are strings.
//
// Source: google/go-containerregistry pkg/v1/google/list.go
func googlePaging() paging {
	return paging{unpaged: true, fields: googleFields}
}

// googleFields adds the extra fields of Google's tag lists.
func googleFields(r *Registry, document map[string]any) {
	manifests := map[string]map[string]any{}
	repo, _ := document["name"].(string)
	tags, _ := document["tags"].([]string)
	for _, tag := range tags {
		recorder := httptest.NewRecorder()
		r.backend.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v2/"+repo+"/manifests/"+tag, nil))
		digest := recorder.Header().Get("Docker-Content-Digest")
		if manifests[digest] == nil {
			manifests[digest] = map[string]any{
				"imageSizeBytes": sizeOf(recorder.Body.Bytes()),
				"mediaType":      recorder.Header().Get("Content-Type"),
				"tag":            []string{},
				"timeCreatedMs":  "0",
				"timeUploadedMs": "1767225600000",
			}
		}
		manifests[digest]["tag"] = append(manifests[digest]["tag"].([]string), tag)
	}
	document["manifest"] = manifests
	document["child"] = []string{}
}

// sizeOf returns the total size of an image's layers.
func sizeOf(manifest []byte) string {
	var image struct {
		Layers []struct {
			Size int64 `json:"size"`
		} `json:"layers"`
	}
	_ = json.Unmarshal(manifest, &image) // an index has no layers
	var sum int64
	for _, layer := range image.Layers {
		sum += layer.Size
	}
	return strconv.FormatInt(sum, 10)
}
