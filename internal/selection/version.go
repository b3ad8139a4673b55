// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// version is the part of a semantic version that matters for precedence.
type version struct {
	numbers    [3]uint64 // MAJOR, MINOR, PATCH
	prerelease string
}

// semver converts the version for Masterminds/semver. Unlike NewVersion, New uses no regular
// expression, which would dominate the cost of a selection.
func (v *version) semver() *semver.Version {
	return semver.New(v.numbers[0], v.numbers[1], v.numbers[2], v.prerelease, "")
}

// The reasons for rejecting a key that is not a version.
const (
	notVersionLength     = "is not a version: it is longer than 256 bytes"
	notVersionMajor      = "is not a version: it does not start with a number (MAJOR.MINOR.PATCH is needed)"
	notVersionMinor      = "is not a version: it has no MINOR number (MAJOR.MINOR.PATCH is needed)"
	notVersionPatch      = "is not a version: it has no PATCH number (MAJOR.MINOR.PATCH is needed)"
	notVersionTooLarge   = "is not a version: a number is greater than 18446744073709551615"
	notVersionRest       = "is not a version: what follows the PATCH number is neither -PRERELEASE nor +BUILD"
	notVersionPrerelease = "is not a version: its prerelease is not made of letters, digits and hyphens, separated by dots"
	notVersionZero       = "is not a version: a number in its prerelease has a leading zero"
	notVersionBuild      = "is not a version: its build metadata is not made of letters, digits and hyphens, separated by dots"
)

// parseVersion parses [v]MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD] into v, overwriting it, and returns
// the reason if the key is invalid. Like Masterminds/semver's NewVersion, it accepts leading zeros
// in the three numbers. Unlike NewVersion it requires all three, because "26.7" and
// "1.24-alpine3.23" are tags that move. It does not allocate.
func parseVersion(key string, v *version) string {
	*v = version{}
	if len(key) > semver.MaxVersionLen {
		return notVersionLength
	}
	rest := strings.TrimPrefix(key, "v")
	for i, missing := range [...]string{notVersionMajor, notVersionMinor, notVersionPatch} {
		dotted := true
		if i > 0 {
			rest, dotted = strings.CutPrefix(rest, ".")
		}
		var digits string
		if digits, rest = cutDigits(rest); digits == "" || !dotted {
			return missing
		}
		var err error
		if v.numbers[i], err = strconv.ParseUint(digits, 10, 64); err != nil {
			return notVersionTooLarge
		}
	}
	if rest == "" {
		return ""
	}
	var problem string
	v.prerelease, problem = parseSuffix(rest)
	return problem
}

// parseSuffix parses [-PRERELEASE][+BUILD] and returns the prerelease, or the reason if the suffix
// is invalid.
func parseSuffix(suffix string) (string, string) {
	rest, build, hasBuild := strings.Cut(suffix, "+")
	prerelease, hasPrerelease := strings.CutPrefix(rest, "-")
	switch {
	case !hasPrerelease && rest != "":
		return "", notVersionRest
	case hasPrerelease && !areIdentifiers(prerelease):
		return "", notVersionPrerelease
	case hasLeadingZero(prerelease):
		return "", notVersionZero
	case hasBuild && !areIdentifiers(build):
		return "", notVersionBuild
	}
	return prerelease, ""
}

// areIdentifiers reports whether s consists of letters, digits and hyphens, separated by single
// dots.
func areIdentifiers(s string) bool {
	length := 0
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c), c == '-', 'a' <= c|0x20 && c|0x20 <= 'z':
			length++
		case c == '.' && length > 0:
			length = 0
		default:
			return false
		}
	}
	return length > 0
}

// hasLeadingZero reports whether one of the identifiers is a number with a leading zero.
func hasLeadingZero(identifiers string) bool {
	for identifier := range strings.SplitSeq(identifiers, ".") {
		if len(identifier) > 1 && identifier[0] == '0' {
			if _, rest := cutDigits(identifier); rest == "" {
				return true
			}
		}
	}
	return false
}

// compareVersions compares by precedence like Masterminds/semver's Compare, without allocating.
func compareVersions(a, b *version) int {
	for i := range a.numbers {
		if c := cmp.Compare(a.numbers[i], b.numbers[i]); c != 0 {
			return c
		}
	}
	return comparePrereleases(a.prerelease, b.prerelease)
}

// comparePrereleases compares as in semver.org §11.3 and §11.4: a version without a prerelease is
// the greater one.
func comparePrereleases(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(b), len(a))
	}
	for a != "" && b != "" {
		var left, right string
		left, a, _ = strings.Cut(a, ".")
		right, b, _ = strings.Cut(b, ".")
		if c := compareIdentifiers(left, right); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b)) // if one is a prefix of the other, the longer one is greater
}

// compareIdentifiers compares numbers by value, and ranks them below other identifiers, which are
// compared by bytes. Like Masterminds/semver, whose ranges must agree with this order, it treats
// numbers of more than 64 bits as other identifiers.
func compareIdentifiers(a, b string) int {
	aNumber, bNumber := isNumber(a), isNumber(b)
	switch {
	case aNumber && bNumber:
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) // without leading zeros
	case aNumber:
		return -1
	case bNumber:
		return 1
	default:
		return strings.Compare(a, b)
	}
}

// isNumber reports whether an identifier is a number of at most 64 bits.
func isNumber(identifier string) bool {
	const greatest = "18446744073709551615"
	digits, rest := cutDigits(identifier)
	return rest == "" && (len(digits) < len(greatest) || len(digits) == len(greatest) && digits <= greatest)
}
