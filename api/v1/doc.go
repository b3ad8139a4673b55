// SPDX-License-Identifier: Apache-2.0

// Package v1 is the storage version of the image.toolkit.fluxcd.io API, which scans image
// repositories and selects the latest of their tags.
//
// +kubebuilder:object:generate=true
// +groupName=image.toolkit.fluxcd.io
package v1
