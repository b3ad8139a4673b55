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

package image

import (
	"strings"
	"testing"
)

func TestIsDigest(t *testing.T) {
	hash := strings.Repeat("0f", 32)
	for s, want := range map[string]bool{
		"sha256:" + hash: true,
		"":               false, hash: false, "sha256:": false, "sha256:" + hash[1:]: false, "sha256:" + hash + "0": false, "sha512:" + hash: false,
		"sha256:" + strings.ToUpper(hash): false, " sha256:" + hash: false, "sha256:" + hash + "\n": false,
	} {
		if got := IsDigest(s); got != want {
			t.Errorf("%q: got %v", s, got)
		}
	}
}
