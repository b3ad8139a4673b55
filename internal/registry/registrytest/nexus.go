// SPDX-License-Identifier: Apache-2.0

package registrytest

import (
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
)

// nexus imitates a hosted repository of Sonatype Nexus Repository 3 with its own connector. Its
// responses to requests for referrers are not published. Its Link of 2026 to a path that it
// doesn't serve (sonatype/nexus-public#1011) is not imitated.
func nexus() Product {
	return Product{
		Name:       "Nexus",
		Host:       "nexus.example.com",
		Repository: "team/app",
		Password:   authn.AuthConfig{Username: "reader", Password: "nexus-password"},
		install: func(f *FakeRegistries, p Product) {
			f.add(p,
				withBasic(p.Password, `BASIC realm="Sonatype Nexus Repository Manager"`), // sonatype/nexus-public#921
				withPaging(paging{link: absoluteLink}),                                   // sonatype/nexus-public#117
				withBehavior(ManifestHead, nexusHead),
				// andrey-pohilko/registry-cli#14, sonatype/nexus-public#967
				withBehavior(Any, SetHeader("Docker-Distribution-Api-Version", "registry/2.0")),
				withBehavior(Any, SetHeader("X-Content-Type-Options", "nosniff")),
			)
		},
	}
}

// nexusHead responds that the manifest is unknown, although GET returns it.
//
// Source: crazy-max/diun#1614, andrey-pohilko/registry-cli#14 and #43
func nexusHead(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	errorResponse{http.StatusNotFound, errorBody("MANIFEST_UNKNOWN", "manifest unknown")}.write(w)
}
