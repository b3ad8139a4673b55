// SPDX-License-Identifier: Apache-2.0

// Package conformance tests the controller with the CLIs of users: flux, in the versions for v1 and
// v1beta2, and cosign and ORAS, which sign images and attach artifacts to them. make conformance
// builds them, which takes minutes, and then runs the tests of this package.
package conformance
