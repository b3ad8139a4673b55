// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"sync/atomic"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// cosign verifies the signatures of cosign in both formats, legacy signatures and
// bundles, and in both locations: at a tag, and among the referrers of the image.
type cosign struct {
	// verifier returns the verifier for one image. It fails with an *UnavailableError.
	verifier  func(context.Context) (signatureVerifier, error)
	locations locations
}

// locations are the two places that cosign stores signatures and attestations in: a tag, and
// the referrers of the image.
type locations struct {
	// referrers is whether they are searched first: they are if the last search ended there,
	// because the next one probably does too.
	referrers atomic.Bool
}

// search searches both places until done reports true. An error does not end it, because the
// other place may have what passes: Artifactory returns 403 for a missing signature tag
// (sigstore/cosign#2973).
func (a *attempt) search(where *locations, atTag, amongReferrers func() error, done func() bool) {
	referrersFirst := where.referrers.Load()
	for _, referrers := range []bool{referrersFirst, !referrersFirst} {
		search := atTag
		if referrers {
			search = amongReferrers
		}
		if err := search(); err != nil {
			a.failed = err
		}
		if done() {
			where.referrers.Store(referrers)
			return
		}
	}
}

// signatureVerifier verifies single signatures. It returns the signer, or a rejection.
type signatureVerifier interface {
	// legacy verifies the signature of a payload, which may be about any image.
	legacy(sig legacySignature, payload []byte) (string, error)
	// bundle verifies a bundle about the image with a digest, and also returns its statement.
	bundle(b *bundle.Bundle, digest []byte) (string, *verify.VerificationResult, error)
}

// rejection is the reason why a signature is rejected.
type rejection string

// Error implements error.
func (r rejection) Error() string { return string(r) }

// verify implements verifyScheme.
func (c *cosign) verify(ctx context.Context, s subject) (Verdict, error) {
	v, err := c.verifier(ctx)
	if err != nil {
		return Verdict{}, err
	}
	a := &attempt{subject: s, noun: "signature"}
	a.search(&c.locations,
		func() error { return a.checkLegacy(ctx, v) },
		func() error { return a.checkReferrers(ctx, v) },
		func() bool { return a.signer != "" },
	)
	return a.verdict("cosign signature")
}
