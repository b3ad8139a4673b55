// SPDX-License-Identifier: Apache-2.0

// Package v1 is the storage version of the image.toolkit.fluxcd.io API:
// which tags an image repository has, and which of them is the latest.
//
// +kubebuilder:object:generate=true
// +groupName=image.toolkit.fluxcd.io
package v1
