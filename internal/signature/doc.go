// SPDX-License-Identifier: Apache-2.0

// Package signature verifies that an image is signed according to a rule: with cosign's
// keys or identities, or with notation's certificates. It does not depend on a cluster
// or a reconciler.
//
// # Results
//
// [Verifier.Verify] returns a [Verdict] or an error. A verdict is either a pass with the
// name of the signer, or a rejection with its reason. An image is rejected only because
// of a valid response of the registry: content whose digest was verified, or the
// response that the content does not exist. Every other response is an error, such as
// a failure, a refusal, throttling, a timeout or content with another digest. The result
// is unknown then, and the caller has to retry.
//
// # Scope
//
// A signature is valid for one digest: the one in its signed payload, not the one of the
// tag or the index at which it was found. One valid signature is enough. See
// docs/design/0040 to 0042 for what is checked and why.
package signature
