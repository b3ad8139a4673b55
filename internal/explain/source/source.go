// SPDX-License-Identifier: Apache-2.0

// Package source gathers what an explanation is made of: policies and
// repositories from files or a cluster, and tags from lists, statuses or
// registries.
package source

import "fmt"

// InvalidError is a mistake in what was given: no retry helps.
type InvalidError struct{ err error }

// Error says what is wrong.
func (e *InvalidError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *InvalidError) Unwrap() error { return e.err }

// Invalid makes a mistake of an error.
func Invalid(err error) error { return &InvalidError{err: err} }

// Invalidf makes a mistake of a text.
func Invalidf(format string, args ...any) error { return Invalid(fmt.Errorf(format, args...)) }
