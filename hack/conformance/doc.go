// SPDX-License-Identifier: Apache-2.0

// Package conformance runs the CLIs of users against the controller: flux, in the
// versions that speak v1 and v1beta2, and cosign and ORAS, by which images are
// signed and artifacts attached to them. make conformance builds them, which takes
// minutes, and then runs the tests of this package.
package conformance
