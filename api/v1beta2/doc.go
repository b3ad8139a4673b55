// SPDX-License-Identifier: Apache-2.0

// Package v1beta2 is the older, still served version of the
// image.toolkit.fluxcd.io API. Its schema is that of v1: the root kinds hold
// v1's spec and status types, so nothing is written twice and the two versions
// need no conversion.
//
// +kubebuilder:object:generate=true
// +groupName=image.toolkit.fluxcd.io
package v1beta2
