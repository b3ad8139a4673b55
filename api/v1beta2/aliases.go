// SPDX-License-Identifier: Apache-2.0

package v1beta2

import v1 "github.com/fluxcd/image-reflector-controller/api/v1"

// The parts of both kinds are those of v1, under the names that importers of
// this version know.

// ImageRepositorySpec is v1's.
type ImageRepositorySpec = v1.ImageRepositorySpec

// ImageRepositoryStatus is v1's.
type ImageRepositoryStatus = v1.ImageRepositoryStatus

// ScanResult is v1's.
type ScanResult = v1.ScanResult

// ImagePolicySpec is v1's.
type ImagePolicySpec = v1.ImagePolicySpec

// ImagePolicyStatus is v1's.
type ImagePolicyStatus = v1.ImagePolicyStatus

// ImagePolicyChoice is v1's.
type ImagePolicyChoice = v1.ImagePolicyChoice

// SemVerPolicy is v1's.
type SemVerPolicy = v1.SemVerPolicy

// AlphabeticalPolicy is v1's.
type AlphabeticalPolicy = v1.AlphabeticalPolicy

// NumericalPolicy is v1's.
type NumericalPolicy = v1.NumericalPolicy

// TagFilter is v1's.
type TagFilter = v1.TagFilter

// ImageRef is v1's.
type ImageRef = v1.ImageRef

// NewestPolicy is v1's.
type NewestPolicy = v1.NewestPolicy

// TimeSource is v1's.
type TimeSource = v1.TimeSource

// ImageVerification is v1's.
type ImageVerification = v1.ImageVerification

// OIDCIdentityMatch is v1's.
type OIDCIdentityMatch = v1.OIDCIdentityMatch

// CandidateStatus is v1's.
type CandidateStatus = v1.CandidateStatus

// CandidateVerdict is v1's.
type CandidateVerdict = v1.CandidateVerdict

// ReflectionPolicy is v1's.
type ReflectionPolicy = v1.ReflectionPolicy

// The constants of v1, likewise.
const (
	ImageRepositoryKind = v1.ImageRepositoryKind
	ImagePolicyKind     = v1.ImagePolicyKind

	ReflectAlways       = v1.ReflectAlways
	ReflectIfNotPresent = v1.ReflectIfNotPresent
	ReflectNever        = v1.ReflectNever

	ImageURLInvalidReason = v1.ImageURLInvalidReason
	ImageFinalizer        = v1.ImageFinalizer
)
