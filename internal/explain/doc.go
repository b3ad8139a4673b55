// SPDX-License-Identifier: Apache-2.0

// Package explain explains which tag a policy selects: how many tags were listed, why each is
// selected or rejected, and whether the status agrees.
//
// It is pure, and decides nothing itself: rules, exclusions, scans and confirmations are those of
// internal/selection, internal/scan and internal/repository, which the controller uses too. Its
// subpackages load the input (source), print the result (render) and implement the command (cli).
package explain
