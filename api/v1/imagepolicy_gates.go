// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TimeSource is the time of an image that is compared.
// +kubebuilder:validation:Enum=Created;FirstSeen
type TimeSource string

const (
	// TimeCreated is the creation time in the image.
	TimeCreated TimeSource = "Created"

	// TimeFirstSeen is when a scan first found the tag.
	TimeFirstSeen TimeSource = "FirstSeen"
)

// NewestPolicy selects the newest image.
type NewestPolicy struct {
	// By is the time that is compared. FirstSeen is when a scan of this controller first found the
	// tag, and needs no requests. Created is the time in the annotation
	// org.opencontainers.image.created of the image or in its configuration: the image of every tag
	// that filterTags accepts is read once.
	// +required
	By TimeSource `json:"by"`
}

const (
	// VerifyCosign verifies signatures of cosign.
	VerifyCosign = "cosign"

	// VerifyNotation verifies signatures of notation.
	VerifyNotation = "notation"
)

// SignaturePredicateType is the predicate type of signatures of cosign in
// spec.verify.attestations: it requires a signature, in any format.
const SignaturePredicateType = "https://sigstore.dev/cosign/sign/v1"

// MaxAttestations is the maximum number of entries of spec.verify.attestations. The marker of
// the field repeats it.
const MaxAttestations = 8

// ImageVerification specifies who must have signed an image, or what they must have attested.
//
// +kubebuilder:validation:XValidation:rule="self.provider != 'cosign' || has(self.secretRef) != (has(self.matchOIDCIdentity) && size(self.matchOIDCIdentity) > 0)",message="cosign needs either keys or identities: set exactly one of secretRef and matchOIDCIdentity"
// +kubebuilder:validation:XValidation:rule="self.provider != 'notation' || (has(self.secretRef) && !has(self.matchOIDCIdentity))",message="notation needs a trust policy and certificates, but no OIDC identities: set secretRef, and remove matchOIDCIdentity"
// +kubebuilder:validation:XValidation:rule="!has(self.trustedRootSecretRef) || has(self.matchOIDCIdentity)",message="a trusted root is only used to verify keyless signatures: set matchOIDCIdentity too, or remove trustedRootSecretRef"
// +kubebuilder:validation:XValidation:rule="self.provider != 'notation' || !has(self.attestations)",message="attestations are verified with cosign's keys or identities: set provider to cosign, or remove attestations"
type ImageVerification struct {
	// Provider is the tool that images are signed with: cosign or notation.
	// +kubebuilder:validation:Enum=cosign;notation
	// +kubebuilder:default:=cosign
	// +optional
	Provider string `json:"provider,omitempty"`

	// SecretRef is a Secret in the policy's namespace. For cosign, it contains public keys, whose
	// names end in ".pub": a signature by one of them is sufficient. For notation, it contains
	// "trustpolicy.json", and certificates whose names end in ".crt" or ".pem".
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// MatchOIDCIdentity lists identities, one of which must have signed with a certificate of
	// Fulcio (keyless).
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	MatchOIDCIdentity []OIDCIdentityMatch `json:"matchOIDCIdentity,omitempty"`

	// TrustedRootSecretRef is a Secret in the policy's namespace whose "trusted_root.json" lists
	// the trusted certificate authorities and logs. Without it, those of the public Sigstore
	// instance are trusted.
	// +optional
	TrustedRootSecretRef *meta.LocalObjectReference `json:"trustedRootSecretRef,omitempty"`

	// Attestations lists attestations about the image, each of which must exist and be signed by
	// one of the keys or identities. They replace the signature: if there are any, an image needs
	// no signature besides them, unless one entry has the predicateType
	// "https://sigstore.dev/cosign/sign/v1", which any valid signature of cosign meets.
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	// +optional
	Attestations []AttestationRequirement `json:"attestations,omitempty"`
}

// AttestationRequirement is an attestation that an image must have.
//
// +kubebuilder:validation:XValidation:rule="self.predicateType != 'https://sigstore.dev/cosign/sign/v1' || !has(self.cel)",message="a signature of cosign has no predicate that cel can check: remove cel, or set the predicateType of an attestation"
type AttestationRequirement struct {
	// PredicateType is the type of the statement's predicate, such as
	// "https://slsa.dev/provenance/v1". It must be equal.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +required
	PredicateType string `json:"predicateType"`

	// CEL is an expression in the Common Expression Language that must be true for the
	// attestation. Its variables are predicate, predicateType, and the timestamp now. For the
	// current image, now is the time at which it was selected.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	CEL string `json:"cel,omitempty"`
}

// OIDCIdentityMatch is an identity that may sign.
type OIDCIdentityMatch struct {
	// Issuer is a regular expression for the address of the OIDC provider, such as
	// "^https://token\\.actions\\.githubusercontent\\.com$".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="[''.matches(self)].size() == 1",message="issuer must be a valid regular expression in RE2 syntax: correct what the error quotes"
	// +required
	Issuer string `json:"issuer"`

	// Subject is a regular expression for the signer, such as
	// "^https://github\\.com/org/app/\\.github/workflows/release\\.yaml@refs/tags/v.*$".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="[''.matches(self)].size() == 1",message="subject must be a valid regular expression in RE2 syntax: correct what the error quotes"
	// +required
	Subject string `json:"subject"`
}

// CandidateVerdict is the result of the evaluation of a candidate.
// +kubebuilder:validation:Enum=Passed;Retained;Rejected;Pending
type CandidateVerdict string

const (
	// CandidatePassed is the verdict of a candidate that passes every gate.
	CandidatePassed CandidateVerdict = "Passed"

	// CandidateRetained is the verdict of a tag that moved to an image that does not pass yet: the
	// current image stays selected.
	CandidateRetained CandidateVerdict = "Retained"

	// CandidateRejected is the verdict of a candidate that does not pass a gate.
	CandidateRejected CandidateVerdict = "Rejected"

	// CandidatePending is the verdict of a candidate that is too young.
	CandidatePending CandidateVerdict = "Pending"
)

// Gates, in the order in which they are checked. All but the first are fields of spec.
const (
	// GateDigest rejects tags that the registry lists without having an image for them.
	GateDigest = "digest"

	// GateMinimumAge is spec.minimumAge.
	GateMinimumAge = "minimumAge"

	// GatePlatforms is spec.platforms.
	GatePlatforms = "platforms"

	// GateVerify is spec.verify.
	GateVerify = "verify"
)

// CandidateStatus is a tag that the policy evaluated, with its verdict.
type CandidateStatus struct {
	// Tag is the tag.
	// +required
	Tag string `json:"tag"`

	// Digest is the digest of the image that was evaluated.
	// +optional
	Digest string `json:"digest,omitempty"`

	// Verdict is Passed, Retained, Rejected or Pending.
	// +required
	Verdict CandidateVerdict `json:"verdict"`

	// Gate is the field of spec that the candidate did not pass: minimumAge, platforms or verify.
	// It is digest if the registry has no image for the tag.
	// +optional
	Gate string `json:"gate,omitempty"`

	// Message is the reason of the verdict, or the signer.
	// +optional
	Message string `json:"message,omitempty"`

	// EligibleAt is when the candidate is old enough.
	// +optional
	EligibleAt *metav1.Time `json:"eligibleAt,omitempty"`
}

// IsSelected reports whether the candidate is the one that the policy selects.
func (in CandidateStatus) IsSelected() bool {
	return in.Verdict == CandidatePassed || in.Verdict == CandidateRetained
}

// HasGates reports whether the policy evaluates images, not only tags.
func (in *ImagePolicySpec) HasGates() bool {
	return len(in.Platforms) > 0 || in.MinimumAge != nil || in.Verify != nil
}
