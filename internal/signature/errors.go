// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// InvalidError says why a rule can't be followed, and what to change. Nothing
// but a change of the rule, or of a Secret that it names, helps.
type InvalidError struct{ detail string }

// Error implements error.
func (e *InvalidError) Error() string { return e.detail }

// invalidf returns an InvalidError.
func invalidf(format string, args ...any) error {
	return &InvalidError{detail: fmt.Sprintf(format, args...)}
}

// UnavailableError says that it can't be told now whether an image is signed,
// for a reason other than the registry.
type UnavailableError struct {
	detail string
	err    error
}

// Error implements error.
func (e *UnavailableError) Error() string { return "failed to verify signatures: " + e.detail }

// Unwrap returns the cause where it may be seen.
func (e *UnavailableError) Unwrap() error { return e.err }

// maxReason bounds what is quoted of an error, or of a certificate.
const maxReason = 200

// quote returns what someone else wrote as it may stand in a message: short, in
// quotation marks, and without anything that does not print.
func quote(s string) string { return strconv.Quote(printable(s)) }

// printable returns the beginning of s without what does not print.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxReason {
		return string(runes[:maxReason]) + "…"
	}
	return s
}
