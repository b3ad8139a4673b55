// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// canary is the secret of all tests. It must be in no error.
const canary = "canary-5ecret"

// parse returns the name of an image.
func parse(t testing.TB, spelling string) image.Name {
	t.Helper()
	img, err := image.Parse(spelling, false)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return img
}
