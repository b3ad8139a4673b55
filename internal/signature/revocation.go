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

// revocationTimeout bounds one question whether a certificate was revoked.
const revocationTimeout = 5 * time.Second

// revocationClient asks whether certificates were revoked.
var revocationClient = &http.Client{Timeout: revocationTimeout}

// revocations notes whether it could be told that the certificates of a
// signature were not revoked.
type revocations struct{ unknown bool }

// validator returns what checks certificates of a purpose.
func (r *revocations) validator(p purpose.Purpose) (revocation.Validator, error) {
	inner, err := revocation.NewWithOptions(revocation.Options{OCSPHTTPClient: revocationClient, CertChainPurpose: p})
	if err != nil {
		return nil, err
	}
	return &recordingValidator{Validator: inner, revocations: r}, nil
}

// recordingValidator is a validator that tells revocations of its answers.
type recordingValidator struct {
	revocation.Validator
	*revocations
}

// ValidateContext implements revocation.Validator.
func (w *recordingValidator) ValidateContext(
	ctx context.Context, opts revocation.ValidateContextOptions,
) ([]*result.CertRevocationResult, error) {
	results, err := w.Validator.ValidateContext(ctx, opts)
	revoked, unknown := false, false
	for _, r := range results {
		revoked = revoked || r.Result == result.ResultRevoked
		unknown = unknown || r.Result == result.ResultUnknown
	}
	if unknown && !revoked {
		w.unknown = true
	}
	return results, err
}

// errRevocation says that it can't be told whether a certificate was revoked.
func errRevocation(cause error) error {
	return &UnavailableError{
		detail: "it can't be told whether the certificate of the signature was revoked: " +
			"check that the servers which the certificate names for that can be reached",
		err: cause,
	}
}
