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
	verifier func(context.Context) (signatureVerifier, error)
	// referrers is whether referrers are checked first: they are if the last signature
	// that passed was one, because the next one probably is too.
	referrers atomic.Bool
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
	referrersFirst := c.referrers.Load()
	for _, referrers := range []bool{referrersFirst, !referrersFirst} {
		check := a.checkLegacy
		if referrers {
			check = a.checkReferrers
		}
		if err := check(ctx, v); err != nil {
			// The other location may have a signature that passes: Artifactory
			// returns 403 for a missing signature tag (sigstore/cosign#2973).
			a.failed = err
		}
		if a.signer != "" {
			c.referrers.Store(referrers)
			break
		}
	}
	return a.verdict("cosign signature")
}
