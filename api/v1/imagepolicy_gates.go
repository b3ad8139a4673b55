// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TimeSource says which time of an image is compared.
// +kubebuilder:validation:Enum=Created;FirstSeen
type TimeSource string

const (
	// TimeCreated is when the image says that it was created.
	TimeCreated TimeSource = "Created"

	// TimeFirstSeen is when a scan first found the tag.
	TimeFirstSeen TimeSource = "FirstSeen"
)

// NewestPolicy selects the newest image.
type NewestPolicy struct {
	// By says which time is compared. FirstSeen is when a scan of this
	// controller first found the tag, and costs nothing. Created is what the
	// image says in its annotation org.opencontainers.image.created or in its
	// configuration: every tag that filterTags lets through is read once.
	// +required
	By TimeSource `json:"by"`
}

const (
	// VerifyCosign has signatures checked as cosign makes them.
	VerifyCosign = "cosign"

	// VerifyNotation has signatures checked as notation makes them.
	VerifyNotation = "notation"
)

// ImageVerification says by whom an image must be signed.
//
// +kubebuilder:validation:XValidation:rule="self.provider != 'cosign' || has(self.secretRef) != (has(self.matchOIDCIdentity) && size(self.matchOIDCIdentity) > 0)",message="cosign needs either keys or identities: set exactly one of secretRef and matchOIDCIdentity"
// +kubebuilder:validation:XValidation:rule="self.provider != 'notation' || (has(self.secretRef) && !has(self.matchOIDCIdentity))",message="notation needs a trust policy and certificates, and knows no OIDC identities: set secretRef, and remove matchOIDCIdentity"
// +kubebuilder:validation:XValidation:rule="!has(self.trustedRootSecretRef) || has(self.matchOIDCIdentity)",message="a trusted root is what keyless signatures are checked with: set matchOIDCIdentity too, or remove trustedRootSecretRef"
type ImageVerification struct {
	// Provider is what images are signed with: cosign or notation.
	// +kubebuilder:validation:Enum=cosign;notation
	// +kubebuilder:default:=cosign
	// +optional
	Provider string `json:"provider,omitempty"`

	// SecretRef names a Secret in the policy's namespace. For cosign it holds
	// public keys, in files of any name that end in ".pub": a signature by one
	// of them will do. For notation it holds "trustpolicy.json", and
	// certificates in files that end in ".crt" or ".pem".
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// MatchOIDCIdentity are the identities of which one must have signed, with
	// a certificate of Fulcio and no key of its own (keyless).
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	MatchOIDCIdentity []OIDCIdentityMatch `json:"matchOIDCIdentity,omitempty"`

	// TrustedRootSecretRef names a Secret in the policy's namespace whose
	// "trusted_root.json" says which certificate authorities and logs are
	// trusted. Without it those of the public Sigstore instance are.
	// +optional
	TrustedRootSecretRef *meta.LocalObjectReference `json:"trustedRootSecretRef,omitempty"`
}

// OIDCIdentityMatch is an identity that may sign.
type OIDCIdentityMatch struct {
	// Issuer is a regular expression for the address of the OIDC provider,
	// such as "^https://token\\.actions\\.githubusercontent\\.com$".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="[''.matches(self)].size() == 1",message="issuer must be a valid regular expression in RE2 syntax: correct what the error quotes"
	// +required
	Issuer string `json:"issuer"`

	// Subject is a regular expression for who signed, such as
	// "^https://github\\.com/org/app/\\.github/workflows/release\\.yaml@refs/tags/v.*$".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="[''.matches(self)].size() == 1",message="subject must be a valid regular expression in RE2 syntax: correct what the error quotes"
	// +required
	Subject string `json:"subject"`
}

// CandidateVerdict is what became of a candidate.
// +kubebuilder:validation:Enum=Passed;Retained;Rejected;Pending
type CandidateVerdict string

const (
	// CandidatePassed is that of the candidate which passed every gate.
	CandidatePassed CandidateVerdict = "Passed"

	// CandidateRetained is that of a tag whose digest moved to one that does not
	// pass yet: the one that passed before stays selected.
	CandidateRetained CandidateVerdict = "Retained"

	// CandidateRejected is that of a candidate which does not pass a gate.
	CandidateRejected CandidateVerdict = "Rejected"

	// CandidatePending is that of a candidate which is too young by now.
	CandidatePending CandidateVerdict = "Pending"
)

// What a candidate may fail, in the order in which it is asked for. All but the first
// are fields of spec.
const (
	// GateDigest is that of a tag which the registry lists and has no image for.
	GateDigest = "digest"

	// GateMinimumAge is spec.minimumAge.
	GateMinimumAge = "minimumAge"

	// GatePlatforms is spec.platforms.
	GatePlatforms = "platforms"

	// GateVerify is spec.verify.
	GateVerify = "verify"
)

// CandidateStatus is a tag that the policy ranked, and what became of it.
type CandidateStatus struct {
	// Tag is the tag.
	// +required
	Tag string `json:"tag"`

	// Digest is the digest of the image that was judged.
	// +optional
	Digest string `json:"digest,omitempty"`

	// Verdict says what became of the candidate: Passed, Retained, Rejected or
	// Pending.
	// +required
	Verdict CandidateVerdict `json:"verdict"`

	// Gate is the field of spec that the candidate did not pass: minimumAge,
	// platforms or verify, or else digest where the registry has no image for
	// the tag.
	// +optional
	Gate string `json:"gate,omitempty"`

	// Message says why, or who signed.
	// +optional
	Message string `json:"message,omitempty"`

	// EligibleAt is when a candidate is old enough.
	// +optional
	EligibleAt *metav1.Time `json:"eligibleAt,omitempty"`
}

// IsSelected reports whether the candidate is the one that the policy selects.
func (in CandidateStatus) IsSelected() bool {
	return in.Verdict == CandidatePassed || in.Verdict == CandidateRetained
}

// HasGates reports whether the policy judges images, and not tags alone.
func (in *ImagePolicySpec) HasGates() bool {
	return len(in.Platforms) > 0 || in.MinimumAge != nil || in.Verify != nil
}
