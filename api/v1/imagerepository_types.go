// SPDX-License-Identifier: Apache-2.0

package v1

import (
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// ImageRepositoryKind is the kind of an ImageRepository.
	ImageRepositoryKind = "ImageRepository"

	// DefaultExclusion matches the tags that are left out where
	// spec.exclusionList is empty: the signatures that cosign keeps as tags.
	DefaultExclusion = `^.*\.sig$`

	// MinInterval is the shortest interval that is heeded: a shorter one is
	// taken for it, so that no object keeps a registry or the API server busy.
	MinInterval = time.Second

	// MinTimeout is the shortest timeout that is heeded: within a shorter one
	// no scan could succeed.
	MinTimeout = time.Second

	// MaxDefaultTimeout bounds the timeout that follows from the interval: a
	// registry that hangs must not take up a worker for hours.
	MaxDefaultTimeout = 5 * time.Minute

	// ProviderGeneric is the spec.provider that takes credentials from
	// Secrets only.
	ProviderGeneric = "generic"
)

// ImageRepositorySpec says which image repository is scanned, how often, and
// with which credentials.
type ImageRepositorySpec struct {
	// Image is the name of the image repository, such as
	// "ghcr.io/stefanprodan/podinfo": without a scheme and without a tag.
	// +required
	Image string `json:"image"`

	// Interval is the time between two scans of the repository, at least 1s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self) <= duration('876000h')",message="interval must be at most 876000h, which is 100 years: a longer one can't be read"
	// +required
	Interval metav1.Duration `json:"interval"`

	// Timeout bounds everything that one scan does, credentials included. At
	// least 1s.
	// Defaults to the value of interval, but to no more than 5m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m))+$"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m))+$') || duration(self) <= duration('876000h')",message="timeout must be at most 876000h, which is 100 years: a longer one can't be read"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// SecretRef names a Secret in the same namespace with the credentials of
	// the registry, as made by "kubectl create secret docker-registry".
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// ProxySecretRef names a Secret in the same namespace with the address,
	// and optionally the username and password, of the proxy through which
	// the registry is reached.
	// +optional
	ProxySecretRef *meta.LocalObjectReference `json:"proxySecretRef,omitempty"`

	// ServiceAccountName names a ServiceAccount in the same namespace. With the
	// provider "generic" its image pull secrets are used, with a cloud its identity.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// CertSecretRef names a Secret in the same namespace with a client
	// certificate (tls.crt and tls.key) and/or the certificates of the
	// authority that signed the registry's (ca.crt).
	// +optional
	CertSecretRef *meta.LocalObjectReference `json:"certSecretRef,omitempty"`

	// Suspend stops the scans. What was found before stays in use.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// AccessFrom says from which namespaces ImagePolicies may refer to this
	// object. Its own namespace always may.
	// +optional
	AccessFrom *acl.AccessFrom `json:"accessFrom,omitempty"`

	// ExclusionList holds regular expressions. A tag that one of them matches
	// is left out of the scan's result.
	// +kubebuilder:default:={"^.*\\.sig$"}
	// +kubebuilder:validation:MaxItems:=25
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.all(p, [''.matches(p)].size() == 1)",message="every item must be a valid regular expression in RE2 syntax: correct the one that the error quotes"
	// +optional
	ExclusionList []string `json:"exclusionList,omitempty"`

	// Provider says where credentials come from: "generic" takes them from
	// Secrets, the others from the cloud of that name.
	// +kubebuilder:validation:Enum=generic;aws;azure;gcp
	// +kubebuilder:default:=generic
	// +optional
	Provider string `json:"provider,omitempty"`

	// Insecure allows plain HTTP to the registry, for tags and digests alike.
	// +optional
	Insecure bool `json:"insecure,omitempty"`
}

// ScanResult is what the last successful scan found.
type ScanResult struct {
	// Revision is a hash of the sorted tags.
	// +optional
	Revision string `json:"revision,omitempty"`

	// TagCount is the number of tags that were found, less the excluded ones.
	// +required
	TagCount int `json:"tagCount"`

	// ScanTime is when the scan ended.
	// +optional
	ScanTime metav1.Time `json:"scanTime,omitempty"`

	// LatestTags holds the first ten tags in descending alphabetical order:
	// a glimpse of the repository, independent of any policy.
	// +optional
	LatestTags []string `json:"latestTags,omitempty"`
}

// ImageRepositoryStatus is what was observed of the image repository.
type ImageRepositoryStatus struct {
	// Conditions holds Ready, and Reconciling or Stalled where they are true.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the last generation that was reconciled.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// CanonicalImageName is spec.image with everything that is implied spelt
	// out: "index.docker.io/library/alpine" for "alpine".
	// +optional
	CanonicalImageName string `json:"canonicalImageName,omitempty"`

	// ObservedImage is spec.image as it was when the tags of the last
	// successful scan were read.
	// +optional
	ObservedImage string `json:"observedImage,omitempty"`

	// LastScanResult is what the last successful scan found.
	// +optional
	LastScanResult *ScanResult `json:"lastScanResult,omitempty"`

	// ObservedExclusionList is the exclusion list of the last successful scan.
	// +optional
	ObservedExclusionList []string `json:"observedExclusionList,omitempty"`

	meta.ReconcileRequestStatus `json:",inline"`
}

// GetConditions returns the conditions of the status.
func (in *ImageRepository) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (in *ImageRepository) SetConditions(conditions []metav1.Condition) {
	in.Status.Conditions = conditions
}

// GetRequeueAfter returns the time between two scans.
func (in *ImageRepository) GetRequeueAfter() time.Duration {
	return max(in.Spec.Interval.Duration, MinInterval)
}

// GetTimeout returns the bound of one scan: the timeout, but at least 1s, or
// else the interval up to MaxDefaultTimeout.
func (in *ImageRepository) GetTimeout() time.Duration {
	if in.Spec.Timeout != nil {
		return max(in.Spec.Timeout.Duration, MinTimeout)
	}
	return min(in.GetRequeueAfter(), MaxDefaultTimeout)
}

// GetProvider returns the provider, "generic" where none is given.
func (in *ImageRepository) GetProvider() string {
	if in.Spec.Provider == "" {
		return ProviderGeneric
	}
	return in.Spec.Provider
}

// GetExclusionList returns the exclusion list, the default where it is empty.
func (in *ImageRepository) GetExclusionList() []string {
	if len(in.Spec.ExclusionList) == 0 {
		return []string{DefaultExclusion}
	}
	return in.Spec.ExclusionList
}

// ImageRepository scans the tags of an OCI image repository at an interval.
//
// +genclient
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:resource:shortName=imgrepo;imagerepo,categories=all;fluxcd;flux
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.image`
// +kubebuilder:printcolumn:name="Tags",type=integer,JSONPath=`.status.lastScanResult.tagCount`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Last scan",type=date,JSONPath=`.status.lastScanResult.scanTime`,priority=1
type ImageRepository struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ImageRepositorySpec `json:"spec,omitempty"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status ImageRepositoryStatus `json:"status,omitempty"`
}

// ImageRepositoryList is a list of ImageRepositories.
//
// +kubebuilder:object:root=true
type ImageRepositoryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ImageRepository `json:"items"`
}
