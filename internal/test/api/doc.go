// SPDX-License-Identifier: Apache-2.0

// Package api tests the CRDs on a real API server: validation with its messages, defaults, and the
// equality of both versions. It also tests the manifests of an installation. It has tests only.
package api
