// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// InvalidError describes why a rule is invalid, and what to change. Only a change of the
// rule, or of a Secret that it refers to, resolves it.
type InvalidError struct {
	detail string
	inSpec bool
}

// InSpec reports whether the error is in the policy, so that no change of a Secret resolves
// it.
func (e *InvalidError) InSpec() bool { return e.inSpec }

// Error implements error.
func (e *InvalidError) Error() string { return e.detail }

// invalidf returns an InvalidError.
func invalidf(format string, args ...any) error {
	return &InvalidError{detail: fmt.Sprintf(format, args...)}
}

// invalidSpecf returns an InvalidError about the policy.
func invalidSpecf(format string, args ...any) error {
	return &InvalidError{detail: fmt.Sprintf(format, args...), inSpec: true}
}

// UnavailableError means that it is currently unknown whether an image is signed, for a
// reason other than the registry.
type UnavailableError struct {
	detail string
	err    error
}

// Error implements error.
func (e *UnavailableError) Error() string { return "failed to verify signatures: " + e.detail }

// Unwrap returns the cause, nil if it is not exposed.
func (e *UnavailableError) Unwrap() error { return e.err }

// maxReason bounds, in characters, what messages quote of an error or a certificate.
const maxReason = 200

// quote returns untrusted text in the form for messages: truncated, in quotation marks,
// and without unprintable characters.
func quote(s string) string { return strconv.Quote(printable(s)) }

// printable returns the beginning of s without unprintable characters.
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
