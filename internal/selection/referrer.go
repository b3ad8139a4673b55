// SPDX-License-Identifier: Apache-2.0

package selection

import "strings"

const (
	// encodedLength is how many characters of a digest a referrers tag has: those of
	// SHA-256, to which the distribution specification truncates longer ones.
	encodedLength = 64
	// minReferrerTag is the length of the shortest referrers tag.
	minReferrerTag = len("sha256-") + encodedLength
)

// digestAlgorithms are those of the image specification and of go-digest, as a tag has them.
var digestAlgorithms = []string{"sha256-", "sha512-", "sha384-", "blake3-"}

// attachments are the suffixes of cosign's tags. Before them the tag may have a prefix of the
// user's choice (cosign attach --attachment-tag-prefix).
var attachments = []string{".sig", ".att", ".sbom"}

// IsReferrerTag reports whether the tag is one of a signature, an attestation, an SBOM or a
// list of referrers of another image, and not one of an image:
//
//   - ALGORITHM-DIGEST is the referrers tag schema, with 64 characters of the digest
//     (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema).
//     oras, notation, cosign 3 and go-containerregistry write it where a registry has no
//     referrers API, as GHCR has none (fluxcd/flux2#5643, fluxcd/source-controller#1961).
//   - ALGORITHM-DIGEST.SUFFIX, and with another separator, are those of cosign 1 and 2 and
//     tools that follow them
//     (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery).
//
// The digits are in lower case, as all of them write them.
func IsReferrerTag(tag string) bool {
	if len(tag) < minReferrerTag {
		return false
	}
	if rest, found := cutDigest(tag); found {
		return rest == "" || strings.IndexByte("._-", rest[0]) >= 0
	}
	for _, suffix := range attachments {
		if name, found := strings.CutSuffix(tag, suffix); found && len(name) >= minReferrerTag {
			rest, found := cutDigest(name[len(name)-minReferrerTag:])
			return found && rest == ""
		}
	}
	return false
}

// cutDigest returns what follows a digest at the beginning of a tag of sufficient length.
func cutDigest(tag string) (string, bool) {
	for _, algorithm := range digestAlgorithms {
		if encoded, found := strings.CutPrefix(tag, algorithm); found {
			return encoded[encodedLength:], strings.Trim(encoded[:encodedLength], "0123456789abcdef") == ""
		}
	}
	return "", false
}

// referrerReason says why a referrers tag is rejected, as what follows "the tag …".
const referrerReason = "is the tag of a signature, attestation or referrers list of another image, not an image: it is never selected"
