// SPDX-License-Identifier: Apache-2.0

package v1

// Reasons of the conditions, in addition to those of github.com/fluxcd/pkg/apis/meta and apis/acl.
const (
	// ImageURLInvalidReason reports that spec.image is not a valid name of an image repository. It
	// is not retried until it is corrected.
	ImageURLInvalidReason string = "ImageURLInvalid"

	// InvalidPolicyReason reports that spec.policy, spec.filterTags or another field of the spec is
	// invalid, such as a range, an order or a regular expression. It is not retried until it is
	// corrected.
	InvalidPolicyReason string = "InvalidPolicy"

	// AuthenticationFailedReason reports that credentials could not be read, or that the registry
	// rejected them.
	AuthenticationFailedReason string = "AuthenticationFailed"

	// ReadOperationFailedReason reports that reading from the registry failed.
	ReadOperationFailedReason string = "ReadOperationFailed"

	// RateLimitedReason reports that the registry limits the rate of requests.
	RateLimitedReason string = "RateLimited"

	// NoTagSelectedReason reports that the policy is valid and the repository is scanned, but no
	// tag passes the policy.
	NoTagSelectedReason string = "NoTagSelected"

	// VerificationErrorReason reports that the signature of an image could not be verified.
	VerificationErrorReason string = "VerificationError"

	// FailureReason reports a failure without a more specific reason, such as a failed request to
	// the Kubernetes API.
	FailureReason string = "Failure"
)

// SourceVerifiedCondition is the type of the condition that reports whether the selected image is
// signed as spec.verify requires. Sources of Flux have a condition of the same type.
const SourceVerifiedCondition string = "SourceVerified"

// ImageFinalizer is set by other implementations of this API. This one needs no finalizer, and
// removes it so that it does not block deletion.
const ImageFinalizer = "finalizers.fluxcd.io"
