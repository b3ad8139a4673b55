// SPDX-License-Identifier: Apache-2.0

package v1

// Reasons of the Ready, Reconciling and Stalled conditions that this API adds
// to the ones of github.com/fluxcd/pkg/apis/meta and apis/acl.
const (
	// ImageURLInvalidReason says that spec.image is no valid image repository
	// address. Nothing is retried until it is corrected.
	ImageURLInvalidReason string = "ImageURLInvalid"

	// InvalidPolicyReason says that spec.policy or spec.filterTags can't be
	// used: a range, an order or a regular expression does not parse. Nothing
	// is retried until it is corrected.
	InvalidPolicyReason string = "InvalidPolicy"

	// AuthenticationFailedReason says that credentials could not be read or
	// that the registry refused them.
	AuthenticationFailedReason string = "AuthenticationFailed"

	// ReadOperationFailedReason says that reading from the registry failed.
	ReadOperationFailedReason string = "ReadOperationFailed"

	// RateLimitedReason says that the registry asked for requests to stop for
	// a while.
	RateLimitedReason string = "RateLimited"

	// NoTagSelectedReason says that the policy is valid and the repository is
	// scanned, but that no tag passes the policy.
	NoTagSelectedReason string = "NoTagSelected"

	// VerificationErrorReason says of SourceVerified that the signature of an
	// image could not be verified.
	VerificationErrorReason string = "VerificationError"

	// FailureReason says that something failed that none of the other reasons
	// names, such as a request to the Kubernetes API.
	FailureReason string = "Failure"
)

// SourceVerifiedCondition is the type of the condition that says whether the
// selected image is signed as spec.verify demands, as the kinds of Flux have it that
// verify what they fetch.
const SourceVerifiedCondition string = "SourceVerified"

// ImageFinalizer is set by other implementations of this API. This one needs
// no finalizer, and takes it off so that a deletion never hangs.
const ImageFinalizer = "finalizers.fluxcd.io"
