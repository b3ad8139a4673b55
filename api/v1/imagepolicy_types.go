// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// ImagePolicyKind is the kind of an ImagePolicy.
	ImagePolicyKind = "ImagePolicy"

	// DefaultReflectionInterval is the interval at which the digest is fetched under ReflectAlways
	// if spec.interval is not set.
	DefaultReflectionInterval = 10 * time.Minute

	// OrderAscending selects the last tag in ascending order.
	OrderAscending = "asc"

	// OrderDescending selects the first tag in ascending order.
	OrderDescending = "desc"

	// MaxExclude is the maximum number of items of spec.exclude. The marker of the field repeats it.
	MaxExclude = 256
)

// ReflectionPolicy specifies when the digest of the latest image is fetched.
// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
type ReflectionPolicy string

const (
	// ReflectAlways fetches the digest at every reconcile and interval, for tags that move from
	// image to image.
	ReflectAlways ReflectionPolicy = "Always"

	// ReflectIfNotPresent fetches the digest once for every new image or tag.
	ReflectIfNotPresent ReflectionPolicy = "IfNotPresent"

	// ReflectNever fetches no digest, and removes the current one.
	ReflectNever ReflectionPolicy = "Never"
)

// ImagePolicySpec specifies which tag of an image repository is the latest.
//
// +kubebuilder:validation:XValidation:rule="!has(self.verify) || (has(self.digestReflectionPolicy) && self.digestReflectionPolicy != 'Never')",message="verify checks the digest of an image, so the digest has to be reflected: set digestReflectionPolicy to IfNotPresent or Always, or remove verify"
// +kubebuilder:validation:XValidation:rule="!has(self.policy.newest) || !has(self.filterTags) || !has(self.filterTags.extract) || size(self.filterTags.extract) == 0",message="newest compares times, not parts of a tag: remove filterTags.extract"
// +kubebuilder:validation:XValidation:rule="!has(self.interval) || (has(self.digestReflectionPolicy) && self.digestReflectionPolicy == 'Always')",message="interval is only used if digestReflectionPolicy is Always: remove interval, or set digestReflectionPolicy to Always"
type ImagePolicySpec struct {
	// ImageRepositoryRef is the ImageRepository whose tags are selected from. An ImageRepository in
	// another namespace must allow the reference in its accessFrom.
	// +required
	ImageRepositoryRef meta.NamespacedObjectReference `json:"imageRepositoryRef"`

	// Policy specifies how tags are compared.
	// +required
	Policy ImagePolicyChoice `json:"policy"`

	// FilterTags specifies which tags are considered, and which part of a tag is compared. Without
	// it, all tags are considered and compared as a whole.
	// +optional
	FilterTags *TagFilter `json:"filterTags,omitempty"`

	// Exclude lists tags that are not selected, such as a bad release: the policy falls back to the
	// next best tag. The items are whole tags, not regular expressions.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Za-z0-9_][A-Za-z0-9_.-]*$')",message="exclude lists whole tags, such as '1.2.3', not regular expressions: write out each tag, or use filterTags or the exclusionList of the ImageRepository"
	// +listType=set
	// +optional
	Exclude []string `json:"exclude,omitempty"`

	// Platforms lists the platforms that an image must provide, all of them, to be selected, such
	// as "linux/amd64" or "linux/arm64/v8". An index provides the platforms of its manifests,
	// another image provides the platform in its configuration. "linux/arm64" equals
	// "linux/arm64/v8", and "linux/arm" equals "linux/arm/v7".
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[a-z0-9_.-]+/[a-z0-9_.-]+(/[a-z0-9_.-]+)?$')",message="a platform is OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT in lower case, such as 'linux/amd64' or 'linux/arm/v6': correct it, and make each an item of its own"
	// +listType=set
	// +optional
	Platforms []string `json:"platforms,omitempty"`

	// MinimumAge is the minimum time between the first scan that finds a tag with its digest and
	// the selection of the tag, such as 72h. For tags that existed at the first scan of the
	// repository, the creation time of the image is used. The current image is not deselected
	// because of its age.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$')",message="minimumAge is written in h, m, s and ms, such as '72h' for three days"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self) <= duration('876000h')",message="minimumAge must be at most 876000h, which is 100 years: a longer one can't be read"
	// +optional
	MinimumAge *metav1.Duration `json:"minimumAge,omitempty"`

	// Verify specifies who must have signed an image for it to be selected. It requires the
	// digestReflectionPolicy IfNotPresent or Always.
	// +optional
	Verify *ImageVerification `json:"verify,omitempty"`

	// DigestReflectionPolicy specifies when the digest of the latest image is fetched into
	// status.latestRef: Never, IfNotPresent (once for every new image or tag), or Always (at every
	// interval, for tags that move).
	// +kubebuilder:default:=Never
	// +optional
	DigestReflectionPolicy ReflectionPolicy `json:"digestReflectionPolicy,omitempty"`

	// Interval is the interval at which the digest is fetched if digestReflectionPolicy is Always,
	// at least 1s. Defaults to 10m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self) <= duration('876000h')",message="interval must be at most 876000h, which is 100 years: a longer one can't be read"
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`

	// Suspend stops the policy: status.latestRef does not change.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// ImagePolicyChoice is a union of the policies that compare tags.
//
// +kubebuilder:validation:XValidation:rule="[has(self.semver), has(self.alphabetical), has(self.numerical), has(self.natural), has(self.newest)].filter(c, c).size() == 1",message="set exactly one of semver, alphabetical, numerical, natural and newest"
type ImagePolicyChoice struct {
	// SemVer compares tags as semantic versions.
	// +optional
	SemVer *SemVerPolicy `json:"semver,omitempty"`

	// Alphabetical compares tags as strings, byte by byte.
	// +optional
	Alphabetical *AlphabeticalPolicy `json:"alphabetical,omitempty"`

	// Numerical compares tags as numbers.
	// +optional
	Numerical *NumericalPolicy `json:"numerical,omitempty"`

	// Natural compares tags in natural order, in which numbers in tags count as numbers.
	// +optional
	Natural *NaturalPolicy `json:"natural,omitempty"`

	// Newest compares images by time.
	// +optional
	Newest *NewestPolicy `json:"newest,omitempty"`
}

// SemVerPolicy selects the highest version in a range.
type SemVerPolicy struct {
	// Range is the range of accepted versions, such as "^1.2.0", ">=1.0.0 <2.0.0" or
	// "~1.4 || 1.2.x". See
	// https://github.com/Masterminds/semver#checking-version-constraints.
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.startsWith(',') && !self.startsWith('|') && self.matches(r'^(((^|,|[|][|])\\s*v?([0-9]+|[xX*])([.]([0-9]+|[xX*])){0,2}(-[0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?([+][0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?\\s+-\\s+v?([0-9]+|[xX*])([.]([0-9]+|[xX*])){0,2}(-[0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?([+][0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?|(^|,|\\s|[|][|])\\s*([<>]=?|=[<>]?|!=|~>?|\\^)?\\s*v?([0-9]+|[xX*])([.]([0-9]+|[xX*])){0,2}(-[0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?([+][0-9A-Za-z-]+([.][0-9A-Za-z-]+)*)?)\\s*)+$')",message="range must be a semver range such as '^1.2.0', '>=1.0.0 <2.0.0', '1.2.x' or '1.2 - 1.4 || 2.x': correct its operators and versions"
	// +required
	Range string `json:"range"`
}

// AlphabeticalPolicy selects the last tag in alphabetical order.
type AlphabeticalPolicy struct {
	// Order is "asc", which selects the last tag in ascending order (a before b), or "desc", which
	// selects the first one.
	// +kubebuilder:default:=asc
	// +kubebuilder:validation:Enum=asc;desc
	// +optional
	Order string `json:"order,omitempty"`
}

// NumericalPolicy selects the last tag in numerical order.
type NumericalPolicy struct {
	// Order is "asc", which selects the greatest number, or "desc", which selects the least one.
	// +kubebuilder:default:=asc
	// +kubebuilder:validation:Enum=asc;desc
	// +optional
	Order string `json:"order,omitempty"`
}

// NaturalPolicy selects the last tag in natural order: runs of digits compare as integers of any
// length, all else byte by byte. A leading "v" before a digit does not count. The words alpha, beta,
// dev, pre, rc and snapshot after a number, as in "1.2.3-rc1", sort before the same tag without it, "1.2.3".
type NaturalPolicy struct {
	// Order is "asc", which selects the last tag in ascending order (rc9 before rc10), or "desc",
	// which selects the first one.
	// +kubebuilder:default:=asc
	// +kubebuilder:validation:Enum=asc;desc
	// +optional
	Order string `json:"order,omitempty"`
}

// TagFilter specifies which tags are considered, and which part of them is compared.
//
// +kubebuilder:validation:XValidation:rule="!has(self.extract) || size(self.extract) == 0 || (has(self.pattern) && size(self.pattern) > 0)",message="extract refers to the groups of pattern: set pattern too, or remove extract"
type TagFilter struct {
	// Pattern is a regular expression. Tags that it does not match are ignored.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="[''.matches(self)].size() == 1",message="pattern must be a valid regular expression in RE2 syntax: correct what the error quotes"
	// +optional
	Pattern string `json:"pattern,omitempty"`

	// Extract is the part of the tag that is compared, as a replacement in which "$1" or "$name"
	// stands for a group of pattern. Without it, the whole tag is compared.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Extract string `json:"extract,omitempty"`
}

// ImageRef is a reference to an image.
type ImageRef struct {
	// Name is the name of the image without a tag.
	// +optional
	Name string `json:"name,omitempty"`

	// Image always equals name: some clients read image, others read name.
	// +optional
	Image string `json:"image,omitempty"`

	// Tag is the tag of the image.
	// +required
	Tag string `json:"tag"`

	// Digest is the digest of the manifest or index that the tag pointed to, such as "sha256:…".
	// Empty if it was not requested.
	// +optional
	Digest string `json:"digest,omitempty"`
}

// String returns "name:tag", followed by "@digest" if there is one.
func (in *ImageRef) String() string {
	if in.Digest == "" {
		return in.Name + ":" + in.Tag
	}
	return in.Name + ":" + in.Tag + "@" + in.Digest
}

// ImagePolicyStatus is the status of an ImagePolicy: the selected image.
type ImagePolicyStatus struct {
	// LatestRef is the latest image.
	// +optional
	LatestRef *ImageRef `json:"latestRef,omitempty"`

	// ObservedPreviousRef is the value of latestRef before its last change.
	// +optional
	ObservedPreviousRef *ImageRef `json:"observedPreviousRef,omitempty"`

	// LatestImage is "name:tag" of latestRef.
	//
	// Deprecated: use latestRef.
	// +optional
	LatestImage string `json:"latestImage,omitempty"`

	// ObservedPreviousImage is "name:tag" of observedPreviousRef.
	//
	// Deprecated: use observedPreviousRef.
	// +optional
	ObservedPreviousImage string `json:"observedPreviousImage,omitempty"`

	// History lists the selected images, newest first: the latest image and those before it. The
	// list is at most 4 KiB of JSON; the oldest entries are dropped.
	// +kubebuilder:validation:MaxItems=10
	// +listType=atomic
	// +optional
	History []HistoryEntry `json:"history,omitempty"`

	// Candidates are the tags that were last evaluated by platforms, minimumAge and verify, best
	// first, with their verdicts.
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	// +optional
	Candidates []CandidateStatus `json:"candidates,omitempty"`

	// ObservedGeneration is the last generation that was reconciled.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions holds Ready, Reconciling or Stalled if they are true, and SourceVerified if
	// spec.verify is set.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	meta.ReconcileRequestStatus `json:",inline"`
}

// GetConditions returns the conditions of the status.
func (in *ImagePolicy) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (in *ImagePolicy) SetConditions(conditions []metav1.Condition) {
	in.Status.Conditions = conditions
}

// GetDigestReflectionPolicy returns the digest reflection policy, by default Never.
func (in *ImagePolicy) GetDigestReflectionPolicy() ReflectionPolicy {
	if in.Spec.DigestReflectionPolicy == "" {
		return ReflectNever
	}
	return in.Spec.DigestReflectionPolicy
}

// GetInterval returns the interval at which the digest is fetched: zero, for never, unless the
// digest reflection policy is Always.
func (in *ImagePolicy) GetInterval() time.Duration {
	if in.GetDigestReflectionPolicy() != ReflectAlways {
		return 0
	}
	if in.Spec.Interval == nil {
		return DefaultReflectionInterval
	}
	return max(in.Spec.Interval.Duration, MinInterval)
}

// ImagePolicy selects the latest of the tags that an ImageRepository found.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:resource:shortName=imgpol;imagepol,categories=all;fluxcd;flux
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.status.latestRef.name`
// +kubebuilder:printcolumn:name="Tag",type=string,JSONPath=`.status.latestRef.tag`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Digest",type=string,JSONPath=`.status.latestRef.digest`,priority=1
type ImagePolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ImagePolicySpec `json:"spec,omitempty"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status ImagePolicyStatus `json:"status,omitempty"`
}

// ImagePolicyList is a list of ImagePolicies.
//
// +kubebuilder:object:root=true
type ImagePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ImagePolicy `json:"items"`
}
