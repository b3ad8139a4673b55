// SPDX-License-Identifier: Apache-2.0

// Package gating walks down the ranking of a policy until a candidate passes its
// gates. It asks a registry, through an Asker, for no more than that takes: mostly
// for what the best candidate points at, and for nothing where that is known.
package gating
