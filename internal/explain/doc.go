// SPDX-License-Identifier: Apache-2.0

// Package explain says why a policy selects the tag that it selects: what was
// listed, what became of every tag, and how that goes with what the status
// says.
//
// It is pure, and decides nothing: rules, exclusions, scans and doubts are those
// of internal/selection, internal/scan and internal/repository, which the controller
// uses too. The packages below it gather what it is told (source), print what it
// says (render, terminal), and make a command of it (cli).
package explain
