// SPDX-License-Identifier: Apache-2.0

package image

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestIsDigest_AcceptsOnlySHA256(t *testing.T) {
	hash := strings.Repeat("0f", 32)
	for s, want := range map[string]bool{
		"sha256:" + hash: true,
		"":               false, hash: false, "sha256:": false, "sha256:" + hash[1:]: false, "sha256:" + hash + "0": false, "sha512:" + hash: false,
		"sha256:" + strings.ToUpper(hash): false, " sha256:" + hash: false, "sha256:" + hash + "\n": false,
	} {
		NewWithT(t).Expect(IsDigest(s)).To(Equal(want), "%q", s)
	}
}
