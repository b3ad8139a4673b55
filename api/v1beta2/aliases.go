// SPDX-License-Identifier: Apache-2.0

package v1beta2

import v1 "github.com/fluxcd/image-reflector-controller/api/v1"

// The types of spec and status are aliases of v1, for importers of this version.

// ImageRepositorySpec is an alias of the type in v1.
type ImageRepositorySpec = v1.ImageRepositorySpec

// ImageRepositoryStatus is an alias of the type in v1.
type ImageRepositoryStatus = v1.ImageRepositoryStatus

// ScanResult is an alias of the type in v1.
type ScanResult = v1.ScanResult

// ImagePolicySpec is an alias of the type in v1.
type ImagePolicySpec = v1.ImagePolicySpec

// ImagePolicyStatus is an alias of the type in v1.
type ImagePolicyStatus = v1.ImagePolicyStatus

// ImagePolicyChoice is an alias of the type in v1.
type ImagePolicyChoice = v1.ImagePolicyChoice

// SemVerPolicy is an alias of the type in v1.
type SemVerPolicy = v1.SemVerPolicy

// AlphabeticalPolicy is an alias of the type in v1.
type AlphabeticalPolicy = v1.AlphabeticalPolicy

// NumericalPolicy is an alias of the type in v1.
type NumericalPolicy = v1.NumericalPolicy

// NaturalPolicy is an alias of the type in v1.
type NaturalPolicy = v1.NaturalPolicy

// TagFilter is an alias of the type in v1.
type TagFilter = v1.TagFilter

// ImageRef is an alias of the type in v1.
type ImageRef = v1.ImageRef

// NewestPolicy is an alias of the type in v1.
type NewestPolicy = v1.NewestPolicy

// TimeSource is an alias of the type in v1.
type TimeSource = v1.TimeSource

// ImageVerification is an alias of the type in v1.
type ImageVerification = v1.ImageVerification

// AttestationRequirement is an alias of the type in v1.
type AttestationRequirement = v1.AttestationRequirement

// OIDCIdentityMatch is an alias of the type in v1.
type OIDCIdentityMatch = v1.OIDCIdentityMatch

// CandidateStatus is an alias of the type in v1.
type CandidateStatus = v1.CandidateStatus

// CandidateVerdict is an alias of the type in v1.
type CandidateVerdict = v1.CandidateVerdict

// HistoryEntry is an alias of the type in v1.
type HistoryEntry = v1.HistoryEntry

// SelectionCause is an alias of the type in v1.
type SelectionCause = v1.SelectionCause

// ReflectionPolicy is an alias of the type in v1.
type ReflectionPolicy = v1.ReflectionPolicy

// Constants of v1.
const (
	ImageRepositoryKind = v1.ImageRepositoryKind
	ImagePolicyKind     = v1.ImagePolicyKind

	ReflectAlways       = v1.ReflectAlways
	ReflectIfNotPresent = v1.ReflectIfNotPresent
	ReflectNever        = v1.ReflectNever

	ImageURLInvalidReason = v1.ImageURLInvalidReason
	ImageFinalizer        = v1.ImageFinalizer
)
