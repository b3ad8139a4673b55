// SPDX-License-Identifier: Apache-2.0

package image

import "regexp"

var wellFormedDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// IsDigest reports whether s is a SHA-256 digest, the only kind in references of this API.
func IsDigest(s string) bool { return wellFormedDigest.MatchString(s) }
