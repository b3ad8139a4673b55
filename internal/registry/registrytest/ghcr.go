// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// ghcr imitates the container registry of GitHub. The lifetime of its tokens and its maximum page
// size are not published. GHCR lists the oldest tags first (renovatebot/renovate#36103); the
// persona sorts them.
func ghcr() Product {
	return Product{
		Name:       "GHCR",
		Host:       "ghcr.io",
		Repository: "stefanprodan/podinfo",
		Anonymous:  true,
		Password:   authn.AuthConfig{Username: "reader", Password: "ghcr-password"},
		install: func(f *FakeRegistries, p Product) {
			f.add(p, slices.Concat([]Option{withTokens(ghcrTokens(p))}, ghcrBehavior())...)
		},
	}
}

// ghcrTokens returns the token server.
func ghcrTokens(p Product) *tokenLogin {
	return &tokenLogin{
		realm:     "https://ghcr.io/token", // getwud/wud#143
		service:   "ghcr.io",
		pingScope: "repository:user/image:pull", // cloudflare/serverless-registry#148
		lifetime:  5 * time.Minute,
		accounts:  []authn.AuthConfig{p.Password},
		anonymous: true,
		fields:    onlyToken, // Mic92/niks3#229
		// containerd/containerd#9648, cloudflare/serverless-registry#148 and #149:
		// rejects a scope or an action that is not granted.
		reject: rejectExcess(errorResponse{http.StatusForbidden, errorBody("DENIED", "requested access to the resource is denied")}),
		// mccutchen/go-httpbin#223: expired credentials.
		wrong: &errorResponse{http.StatusForbidden, errorBody("DENIED", "denied")},
	}
}

// ghcrBehavior returns the behavior of GHCR that is also visible through a forwarding host.
func ghcrBehavior() []Option {
	// Mic92/niks3#229
	const index, message = "application/vnd.oci.image.index.v1+json", "OCI index found, but Accept header does not support OCI indexes"
	return []Option{
		withPaging(paging{size: 100}), // argoproj-labs/argocd-image-updater#1660, smg-project/smg#2348
		withBehavior(ManifestHead, needsAccept(index, message)),
		withBehavior(ManifestGet, needsAccept(index, message)),
		withBehavior(Referrers, ghcrReferrers),
		withSite("github.com", "", http.NotFoundHandler()), // dataaxiom/ghcr-cleanup-action#13
		withBehavior(Any, SetHeader("Docker-Distribution-Api-Version", "registry/2.0")),
		// https://docs.github.com/en/actions/reference/runners/self-hosted-runners, scarf-sh/gateway#35
		withBlobStore("pkg-containers.githubusercontent.com", func(hex string) string {
			return "/ghcr1/blobs/sha256:" + hex + "?sig=1"
		}),
	}
}

// ghcrReferrers redirects to a page of the web site, with a URL that lacks the digest.
//
// Source: artifacthub/hub#4785
func ghcrReferrers(w http.ResponseWriter, req *http.Request, _ http.Handler) {
	path, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), ":")
	w.Header().Set("Location", "https://github.com/-/v2/packages/container/package/"+url.PathEscape(path))
	w.WriteHeader(http.StatusSeeOther)
}
