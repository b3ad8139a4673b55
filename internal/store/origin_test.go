// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"

	"github.com/fxamacker/cbor/v2"
	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/admission"
)

// TestFacts_StoreOriginOnlyIfPresent checks that the facts of older versions, which have no origin,
// are read, and that facts without an origin have the same encoding as before.
func TestFacts_StoreOriginOnlyIfPresent(t *testing.T) {
	g := NewWithT(t)
	type olderInfo struct {
		Digest      string `cbor:"1,keyasint,omitempty"`
		DigestSince int64  `cbor:"2,keyasint,omitempty"`
		Created     int64  `cbor:"4,keyasint,omitempty"`
	}
	older, err := cbor.Marshal(olderInfo{"sha256:a", 5, 7})
	g.Expect(err).NotTo(HaveOccurred())
	var read admission.ImageInfo
	g.Expect(decMode.Unmarshal(older, &read)).To(Succeed())
	g.Expect(read).To(Equal(admission.ImageInfo{Digest: "sha256:a", DigestSince: 5, Created: 7}))
	g.Expect(cbor.Marshal(read)).To(Equal(older))

	withOrigin, err := cbor.Marshal(read.WithOrigin(admission.Origin{Revision: "4f6b2c", Source: "https://github.com/org/app"}))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(withOrigin) - len(older)).To(Equal(len("4f6b2c") + len("https://github.com/org/app") + 5))
	var byOlder olderInfo
	g.Expect(decMode.Unmarshal(withOrigin, &byOlder)).To(Succeed(), "an older version ignores the origin")
	g.Expect(byOlder).To(Equal(olderInfo{"sha256:a", 5, 7}))
}
