// SPDX-License-Identifier: Apache-2.0

// Package source loads the input of an explanation: policies and repositories from files or a
// cluster, and tags from lists, statuses or registries.
package source

import "fmt"

// InvalidError is an error in the user's input; a retry does not help.
type InvalidError struct{ err error }

// Error returns the text of the cause.
func (e *InvalidError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *InvalidError) Unwrap() error { return e.err }

// Invalid wraps err as an InvalidError.
func Invalid(err error) error { return &InvalidError{err: err} }

// Invalidf formats an InvalidError.
func Invalidf(format string, args ...any) error { return Invalid(fmt.Errorf(format, args...)) }
