// SPDX-License-Identifier: Apache-2.0

package image

import "regexp"

var wellFormedDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// IsDigest reports whether s is a digest in the only form that references of this
// API have.
func IsDigest(s string) bool { return wellFormedDigest.MatchString(s) }
