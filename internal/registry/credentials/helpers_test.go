// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// canary is the secret of all tests. No error may contain it.
const canary = "canary-5ecret"

// parse parses an image name.
func parse(t testing.TB, name string) image.Name {
	t.Helper()
	img, err := image.Parse(name, false)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return img
}
