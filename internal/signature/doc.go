// SPDX-License-Identifier: Apache-2.0

// Package signature answers whether the image of a digest is signed as a rule
// demands: by cosign's keys or identities, or by notation's certificates. It
// knows no cluster and no reconciler.
//
// # Three answers
//
// [Verifier.Verify] returns a [Verdict], which is a pass with the name of who
// signed or a rejection with its reason, or else an error. A rejection is said
// only of what a registry answered well: content whose digest was checked, or a
// registry's own word that it has no such thing. Everything else, such as a
// registry that fails, refuses, throttles, hangs or sends other bytes than were
// asked for, is an error: nobody knows then, and it has to be tried again.
//
// # What counts
//
// A signature counts for one digest: that of its payload, which is signed, and not
// that of the tag or the index by which it was found. Of several signatures one
// that passes is enough. See docs/design/0040 to 0042 for what is checked and why.
package signature
