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

	// DefaultExclusion is the regular expression of excluded tags if spec.exclusionList is empty:
	// the signatures that cosign stores as tags.
	DefaultExclusion = `^.*\.sig$`

	// MinInterval is the minimum interval. Shorter ones are replaced by it, so that no object
	// overloads a registry or the API server.
	MinInterval = time.Second

	// MinTimeout is the minimum timeout. Shorter ones are replaced by it, because no scan could
	// succeed in time.
	MinTimeout = time.Second

	// MaxDefaultTimeout is the maximum of the default timeout, which is the interval: a hanging
	// registry must not block a worker for hours.
	MaxDefaultTimeout = 5 * time.Minute

	// DefaultLatestTags is the default of spec.latestTags.
	DefaultLatestTags = 10

	// MaxLatestTags is the maximum of spec.latestTags.
	MaxLatestTags = 100

	// ProviderGeneric is the spec.provider that reads credentials from Secrets only.
	ProviderGeneric = "generic"
)

// ImageRepositorySpec specifies which image repository is scanned, how often, and with which
// credentials.
type ImageRepositorySpec struct {
	// Image is the name of the image repository without a scheme and a tag, such as
	// "ghcr.io/stefanprodan/podinfo".
	// +required
	Image string `json:"image"`

	// Interval is the time between two scans of the repository, at least 1s.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') || duration(self) <= duration('876000h')",message="interval must be at most 876000h, which is 100 years: a longer one can't be read"
	// +required
	Interval metav1.Duration `json:"interval"`

	// Timeout is the timeout of one scan, including the reading of credentials, at least 1s.
	// Defaults to the value of interval, but to no more than 5m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m))+$"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^([0-9]+([.][0-9]+)?(ms|s|m))+$') || duration(self) <= duration('876000h')",message="timeout must be at most 876000h, which is 100 years: a longer one can't be read"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// SecretRef is a Secret in the same namespace with the credentials of the registry, as created
	// by "kubectl create secret docker-registry".
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// ProxySecretRef is a Secret in the same namespace with the address, and optionally the
	// username and password, of the proxy that is used for requests to the registry.
	// +optional
	ProxySecretRef *meta.LocalObjectReference `json:"proxySecretRef,omitempty"`

	// ServiceAccountName is the name of a ServiceAccount in the same namespace. With the provider
	// "generic", its image pull secrets are used, with a cloud provider, its identity.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// CertSecretRef is a Secret in the same namespace with a client certificate (tls.crt and
	// tls.key), the certificates of the authority that signed the certificate of the registry
	// (ca.crt), or both.
	// +optional
	CertSecretRef *meta.LocalObjectReference `json:"certSecretRef,omitempty"`

	// Suspend stops the scans. The tags of the last scan stay in use.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// AccessFrom specifies from which other namespaces ImagePolicies may refer to this object.
	// References from its own namespace are always allowed.
	// +optional
	AccessFrom *acl.AccessFrom `json:"accessFrom,omitempty"`

	// ExclusionList is a list of regular expressions. Tags that match one of them are excluded from
	// the result of the scan.
	// +kubebuilder:default:={"^.*\\.sig$"}
	// +kubebuilder:validation:MaxItems:=25
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.all(p, [''.matches(p)].size() == 1)",message="every item must be a valid regular expression in RE2 syntax: correct the one that the error quotes"
	// +optional
	ExclusionList []string `json:"exclusionList,omitempty"`

	// LatestTags is the number of tags in status.lastScanResult.latestTags. Defaults to 10.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	// +optional
	LatestTags int `json:"latestTags,omitempty"`

	// Provider is the source of the credentials: "generic" reads them from Secrets, the others get
	// them from the cloud of that name.
	// +kubebuilder:validation:Enum=generic;aws;azure;gcp
	// +kubebuilder:default:=generic
	// +optional
	Provider string `json:"provider,omitempty"`

	// Insecure allows plain HTTP to the registry, for all requests.
	// +optional
	Insecure bool `json:"insecure,omitempty"`
}

// ScanResult is the result of the last successful scan.
type ScanResult struct {
	// Revision is a hash of the sorted tags.
	// +optional
	Revision string `json:"revision,omitempty"`

	// TagCount is the number of tags, without the excluded ones.
	// +required
	TagCount int `json:"tagCount"`

	// ScanTime is when the scan ended.
	// +optional
	ScanTime metav1.Time `json:"scanTime,omitempty"`

	// LatestTags holds the last tags in natural order, the last one first, independent of any policy.
	// Their number is spec.latestTags.
	// +optional
	LatestTags []string `json:"latestTags,omitempty"`
}

// ImageRepositoryStatus is the status of an ImageRepository: the result of its scans.
type ImageRepositoryStatus struct {
	// Conditions holds Ready, and Reconciling or Stalled if they are true.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the last generation that was reconciled.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// CanonicalImageName is the full name of spec.image, such as "index.docker.io/library/alpine"
	// for "alpine".
	// +optional
	CanonicalImageName string `json:"canonicalImageName,omitempty"`

	// ObservedImage is the value of spec.image at the last successful scan.
	// +optional
	ObservedImage string `json:"observedImage,omitempty"`

	// LastScanResult is the result of the last successful scan.
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

// GetTimeout returns the timeout of one scan: spec.timeout, at least 1s, or by default the
// interval, at most MaxDefaultTimeout.
func (in *ImageRepository) GetTimeout() time.Duration {
	if in.Spec.Timeout != nil {
		return max(in.Spec.Timeout.Duration, MinTimeout)
	}
	return min(in.GetRequeueAfter(), MaxDefaultTimeout)
}

// GetLatestTags returns the number of tags in status.lastScanResult.latestTags: 1 to 100, by default
// 10.
func (in *ImageRepository) GetLatestTags() int {
	if in.Spec.LatestTags <= 0 {
		return DefaultLatestTags
	}
	return min(in.Spec.LatestTags, MaxLatestTags)
}

// GetProvider returns the provider, by default "generic".
func (in *ImageRepository) GetProvider() string {
	if in.Spec.Provider == "" {
		return ProviderGeneric
	}
	return in.Spec.Provider
}

// GetExclusionList returns the exclusion list, or the default if it is empty.
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
