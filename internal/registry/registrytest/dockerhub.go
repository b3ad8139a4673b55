// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// dockerHub imitates Docker Hub. It doesn't count the pull limit: inject a fault to reach it.
func dockerHub() Product {
	return Product{
		Name:       "Docker Hub",
		Host:       "index.docker.io", // the name of docker.io in go-containerregistry
		Repository: "library/nginx",
		Anonymous:  true,
		Password:   authn.AuthConfig{Username: "reader", Password: "docker-hub-password"},
		Referrers:  true, // sigstore/cosign#4641
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				withAliases("registry-1.docker.io"), // containerd/containerd#7064
				withTokens(&tokenLogin{
					// https://docs.docker.com/docker-hub/usage/pulls/
					realm:     "https://auth.docker.io/token",
					service:   "registry.docker.io",
					accounts:  []authn.AuthConfig{p.Password},
					anonymous: true,
					lifetime:  5 * time.Minute, // https://github.com/renovatebot/renovate/discussions/47314, with the error of an expired token
					fields:    issuedAt,        // https://distribution.github.io/distribution/spec/auth/token/
					errors:    true,            // containerd/containerd#7064: insufficient_scope
				}),
				WithReferrers(),
				withBehavior(Any, SetHeader("Docker-Distribution-Api-Version", "registry/2.0")), // containerd/containerd#6492
				withBehavior(ManifestHead, pullLimits),
				withBehavior(ManifestGet, pullLimits),
				// https://docs.docker.com/desktop/setup/allow-list/
				withBlobStore("production.cloudflare.docker.com", func(hex string) string {
					return "/registry-v2/docker/registry/v2/blobs/sha256/" + hex[:2] + "/" + hex + "/data?verify=1"
				}),
			)
		},
	}
}

// pullLimits adds the headers with the limit of an anonymous client to responses to HEAD and GET.
//
// Source: https://docs.docker.com/docker-hub/usage/pulls/
func pullLimits(w http.ResponseWriter, req *http.Request, next http.Handler) {
	w.Header().Set("Ratelimit-Limit", "100;w=21600")
	w.Header().Set("Ratelimit-Remaining", "99;w=21600")
	w.Header().Set("Docker-Ratelimit-Source", "192.0.2.1") // containerd/containerd#6492
	next.ServeHTTP(w, req)
}
