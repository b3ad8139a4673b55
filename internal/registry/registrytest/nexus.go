/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package registrytest

import (
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
)

// nexus imitates a hosted repository of Sonatype Nexus Repository 3 on a
// connector of its own. Its answers to requests for referrers are not
// published, and its Link of 2026, which leads to a path that it doesn't have
// (sonatype/nexus-public#1011), is not imitated.
func nexus() Product {
	return Product{
		Name:       "Nexus",
		Host:       "nexus.example.com",
		Repository: "team/app",
		Password:   authn.AuthConfig{Username: "reader", Password: "nexus-password"},
		Pages:      true,
		Broken:     map[Kind]string{ManifestHead: "crazy-max/diun#1614"},
		install: func(z *Zoo, p Product) {
			z.add(p,
				withBasic(p.Password, `BASIC realm="Sonatype Nexus Repository Manager"`), // sonatype/nexus-public#921
				withPaging(paging{link: absoluteLink}),                                   // sonatype/nexus-public#117
				withHabit(ManifestHead, nexusHead),
				// andrey-pohilko/registry-cli#14, sonatype/nexus-public#967
				withHabit(Any, SetHeader("Docker-Distribution-Api-Version", "registry/2.0")),
				withHabit(Any, SetHeader("X-Content-Type-Options", "nosniff")),
			)
		},
	}
}

// nexusHead answers that there is no manifest, also where GET has it.
//
// Source: crazy-max/diun#1614, andrey-pohilko/registry-cli#14 and #43
func nexusHead(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	refusal{http.StatusNotFound, errorBody("MANIFEST_UNKNOWN", "manifest unknown")}.write(w)
}
