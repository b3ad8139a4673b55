// SPDX-License-Identifier: Apache-2.0

package selection

import "strings"

const (
	// encodedLength is the number of characters of a digest in a referrers tag: those of SHA-256,
	// to which the distribution specification truncates longer digests.
	encodedLength = 64
	// minReferrerTag is the length of the shortest referrers tag.
	minReferrerTag = len("sha256-") + encodedLength
)

// digestAlgorithms are the prefixes for the algorithms of the image specification and go-digest.
var digestAlgorithms = []string{"sha256-", "sha512-", "sha384-", "blake3-"}

// attachments are the suffixes of cosign's tags. The tag may have a custom prefix
// (cosign attach --attachment-tag-prefix).
var attachments = []string{".sig", ".att", ".sbom"}

// IsReferrerTag reports whether a tag refers to a signature, attestation, SBOM or referrers list of
// another image instead of to an image:
//
//   - ALGORITHM-DIGEST is the referrers tag schema, with 64 characters of the digest
//     (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema).
//     oras, notation, cosign 3 and go-containerregistry write it if a registry has no referrers
//     API, such as GHCR (fluxcd/flux2#5643, fluxcd/source-controller#1961).
//   - ALGORITHM-DIGEST.SUFFIX, also with another separator, is the schema of cosign 1 and 2 and
//     compatible tools
//     (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md#tag-based-discovery).
//
// All of these tools write hexadecimal digits in lower case.
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

// cutDigest returns the text after a digest at the start of a tag. The tag must be long enough.
func cutDigest(tag string) (string, bool) {
	for _, algorithm := range digestAlgorithms {
		if encoded, found := strings.CutPrefix(tag, algorithm); found {
			return encoded[encodedLength:], strings.Trim(encoded[:encodedLength], "0123456789abcdef") == ""
		}
	}
	return "", false
}

// referrerReason is the reason for rejecting a referrers tag, as the text after "the tag …".
const referrerReason = "is the tag of a signature, attestation or referrers list of another image, not an image: it is never selected"
