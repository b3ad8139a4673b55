/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

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
