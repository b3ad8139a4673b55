// SPDX-License-Identifier: Apache-2.0

package registrytest

// artifactRegistry imitates Google Artifact Registry. The lifetime of its tokens and the redirects
// of its blobs are not published.
func artifactRegistry() Product {
	// Its challenges name no service: nicholas-fedor/watchtower#1894.
	return google("Google Artifact Registry", "europe-docker.pkg.dev", "project/team/app", "")
}
