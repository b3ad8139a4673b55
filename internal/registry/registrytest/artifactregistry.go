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

// artifactRegistry imitates Google Artifact Registry. How long its tokens live,
// and where its blobs are redirected to, are not published.
func artifactRegistry() Product {
	// Its challenges name no service: nicholas-fedor/watchtower#1894.
	return google("Google Artifact Registry", "europe-docker.pkg.dev", "project/team/app", "")
}
