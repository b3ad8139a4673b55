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

package registry

import (
	"testing"

	"github.com/fluxcd/image-reflector-controller/internal/registry/registrytest"
)

// TestListTags_ALoginThatFailsIsNoRefusalOfASize tests that a token server whose error
// has the status by which registries refuse the size of a page is asked once.
func TestListTags_ALoginThatFailsIsNoRefusalOfASize(t *testing.T) {
	for _, status := range []int{400, 405, 413, 416, 422} {
		reg, img := start(t, registrytest.WithTokenAuth("user", canary))
		reg.Inject(registrytest.Token, registrytest.Status(status, ""))
		_, err := newTestClient(t).ListTags(t.Context(), img, login(img))
		if e := errorOf(t, err); e.StatusCode != status || reg.Count(registrytest.Token) != 1 {
			t.Errorf("%d: got %v, and %d requests for a token", status, err, reg.Count(registrytest.Token))
		}
	}
}
