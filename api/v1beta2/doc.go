// SPDX-License-Identifier: Apache-2.0

// Package v1beta2 is the deprecated version of the image.toolkit.fluxcd.io API, which is still
// served. Its schema is that of v1: the kinds use the spec and status types of v1, so no conversion
// is needed.
//
// +kubebuilder:object:generate=true
// +groupName=image.toolkit.fluxcd.io
package v1beta2
