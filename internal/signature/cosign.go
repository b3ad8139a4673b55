// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"sync/atomic"

	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// cosign verifies the signatures of cosign in both formats, legacy ones and
// bundles, and in both places: under a tag, and among the referrers of the image.
type cosign struct {
	// signatureVerifier returns the judge for one image. It fails with an *UnavailableError.
	judge func(context.Context) (signatureVerifier, error)
	// referrers is whether referrers are looked at first: where the last signature
	// that passed was one, the next one probably is too.
	referrers atomic.Bool
}

// signatureVerifier judges single signatures. It returns who signed, or why the signature
// is rejected.
type signatureVerifier interface {
	// legacy judges the signature of a payload, which may be about any image.
	legacy(sig legacySignature, payload []byte) (string, error)
	// bundle judges a bundle about the image of a digest.
	bundle(b *bundle.Bundle, digest []byte) (string, error)
}

// rejection is why a signature is rejected, in our own words.
type rejection string

// Error implements error.
func (r rejection) Error() string { return string(r) }

// verify implements method.
func (c *cosign) verify(ctx context.Context, s subject) (Verdict, error) {
	j, err := c.judge(ctx)
	if err != nil {
		return Verdict{}, err
	}
	e := &attempt{subject: s}
	referrersFirst := c.referrers.Load()
	for _, referrers := range []bool{referrersFirst, !referrersFirst} {
		look := e.checkLegacy
		if referrers {
			look = e.checkReferrers
		}
		if err := look(ctx, j); err != nil {
			// Of one format: the other one may have a signature that passes.
			// Artifactory answers 403 to a signature tag that is missing
			// (sigstore/cosign#2973).
			e.failed = err
		}
		if e.signer != "" {
			c.referrers.Store(referrers)
			break
		}
	}
	return e.verdict("cosign signature")
}

// recover notes what a judge says of a signature.
func (e *attempt) recover(signer string, err error) {
	if err != nil {
		e.reject(printable(err.Error()))
		return
	}
	e.signer = signer
}
