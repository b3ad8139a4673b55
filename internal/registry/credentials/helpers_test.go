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

package credentials

import (
	"testing"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// canary is the secret of all tests. It must be in no error.
const canary = "canary-5ecret"

// parse returns the name of an image.
func parse(t testing.TB, spelling string) image.Name {
	t.Helper()
	img, err := image.Parse(spelling, false)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
