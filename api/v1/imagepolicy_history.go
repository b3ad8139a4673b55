// SPDX-License-Identifier: Apache-2.0

package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MaxHistory is the maximum number of entries in the history of a policy.
const MaxHistory = 10

// SelectionCause is why the latest image of a policy changed.
// +kubebuilder:validation:Enum=Initial;NewTag;DigestMoved;TagGone;PolicyChanged;ImageChanged;GatePassed
type SelectionCause string

const (
	// SelectedInitial is the cause of the first selection.
	SelectedInitial SelectionCause = "Initial"

	// SelectedNewTag means that a tag was found that ranks above the latest one.
	SelectedNewTag SelectionCause = "NewTag"

	// SelectedDigestMoved means that the tag was pushed again, with another digest.
	SelectedDigestMoved SelectionCause = "DigestMoved"

	// SelectedTagGone means that the registry does not have the previous tag anymore.
	SelectedTagGone SelectionCause = "TagGone"

	// SelectedPolicyChanged means that the spec of the policy changed, or something that it refers
	// to: the exclusion list of the ImageRepository, or the keys of verify.
	SelectedPolicyChanged SelectionCause = "PolicyChanged"

	// SelectedImageChanged means that the image of the ImageRepository was replaced, or that the
	// policy refers to an ImageRepository of another image.
	SelectedImageChanged SelectionCause = "ImageChanged"

	// SelectedGatePassed means that the image was a candidate before, and now passes the gates.
	SelectedGatePassed SelectionCause = "GatePassed"
)

// HistoryEntry is an image that the policy selected.
type HistoryEntry struct {
	// Name is the name of the image without a tag.
	// +required
	Name string `json:"name"`

	// Tag is the tag of the image.
	// +required
	Tag string `json:"tag"`

	// Digest is the digest of the image, if it was reflected.
	// +optional
	Digest string `json:"digest,omitempty"`

	// SelectedAt is when the image was selected. It is not set if another version of the
	// controller selected the image.
	// +optional
	SelectedAt *metav1.Time `json:"selectedAt,omitempty"`

	// Reason is why the image was selected: Initial, NewTag, DigestMoved, TagGone, PolicyChanged,
	// ImageChanged or GatePassed. It is not set if selectedAt is not.
	// +optional
	Reason SelectionCause `json:"reason,omitempty"`

	// Generation is the last generation of the policy that selected the image.
	// +optional
	Generation int64 `json:"generation,omitempty"`
}

// IsOf reports whether the entry is about the image of ref.
func (in HistoryEntry) IsOf(ref *ImageRef) bool {
	return ref != nil && in.Name == ref.Name && in.Tag == ref.Tag && in.Digest == ref.Digest
}
