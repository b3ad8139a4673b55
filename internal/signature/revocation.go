// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"context"
	"net/http"
	"time"

	"github.com/notaryproject/notation-core-go/revocation"
	"github.com/notaryproject/notation-core-go/revocation/purpose"
	"github.com/notaryproject/notation-core-go/revocation/result"
)

// revocationTimeout bounds one request for the revocation status of a certificate.
const revocationTimeout = 5 * time.Second

// revocationClient requests the revocation status of certificates.
var revocationClient = &http.Client{Timeout: revocationTimeout}

// revocations records whether the revocation status of a signature's certificates is
// unknown, while none of them is known to be revoked.
type revocations struct{ unknown bool }

// validator returns the validator of certificates for a purpose.
func (r *revocations) validator(p purpose.Purpose) (revocation.Validator, error) {
	inner, err := revocation.NewWithOptions(revocation.Options{OCSPHTTPClient: revocationClient, CertChainPurpose: p})
	if err != nil {
		return nil, err
	}
	return &recordingValidator{Validator: inner, revocations: r}, nil
}

// recordingValidator is a validator that records its results.
type recordingValidator struct {
	revocation.Validator
	*revocations
}

// ValidateContext implements revocation.Validator.
func (v *recordingValidator) ValidateContext(
	ctx context.Context, opts revocation.ValidateContextOptions,
) ([]*result.CertRevocationResult, error) {
	results, err := v.Validator.ValidateContext(ctx, opts)
	revoked, unknown := false, false
	for _, r := range results {
		revoked = revoked || r.Result == result.ResultRevoked
		unknown = unknown || r.Result == result.ResultUnknown
	}
	if unknown && !revoked {
		v.unknown = true
	}
	return results, err
}

// errRevocation returns the error about an unknown revocation status.
func errRevocation(cause error) error {
	return &UnavailableError{
		detail: "it is unknown whether the certificate of the signature was revoked: " +
			"check that the revocation servers in the certificate can be reached",
		err: cause,
	}
}
