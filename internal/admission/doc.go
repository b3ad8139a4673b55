// SPDX-License-Identifier: Apache-2.0

// Package admission evaluates the candidates that a policy ranks and selects the best one whose
// image passes the policy's gates: minimum age, platforms and signatures. The controller and the
// explain command both use it.
//
// It is pure except for the interface Images, which requests from a registry only what a decision
// requires. Package images implements it.
package admission
