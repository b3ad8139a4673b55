// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"cmp"
	"errors"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// failure is an error with the reason of its condition.
type failure struct {
	Reason string
	Err    error
}

func (f failure) Error() string { return f.Err.Error() }

func (f failure) Unwrap() error { return f.Err }

func (f failure) reason() string { return f.Reason }

// StalledError is an error that only a change of the object, or of an object that it refers to, can
// fix. It is not retried.
type StalledError struct{ failure }

// Stalled returns a StalledError.
func Stalled(reason string, err error) error { return &StalledError{failure{reason, err}} }

// WaitingError is an error that another object or the registry has to fix. The object is reconciled
// again when a watch triggers it, or after some time.
type WaitingError struct {
	failure
	// After is the time until the next reconcile. If it is zero, only watches trigger one.
	After time.Duration
	// KeepReady reports that the last result is still valid: an object that is ready for its
	// current generation stays ready.
	KeepReady bool
}

// Waiting returns a WaitingError.
func Waiting(reason string, after time.Duration, err error) error {
	return &WaitingError{failure: failure{reason, err}, After: after}
}

// KeepReady returns a WaitingError with which an object that is ready for its current generation
// stays ready. The message of its condition is that of the Result.
func KeepReady(reason string, after time.Duration, err error) error {
	return &WaitingError{failure: failure{reason, err}, After: after, KeepReady: true}
}

// RetryError is an error with a reason that is retried with exponential backoff. Errors of other
// types are retried too, with the reason FailureReason.
type RetryError struct{ failure }

// Retry returns a RetryError.
func Retry(reason string, err error) error { return &RetryError{failure{reason, err}} }

// DeferredError reports that the work is postponed although nothing is wrong. It is retried after
// some time. The object is not written, and no event is emitted.
type DeferredError struct {
	failure
	// After is the time until the retry.
	After time.Duration
}

// Deferred returns a DeferredError.
func Deferred(after time.Duration, err error) error {
	return &DeferredError{failure: failure{Err: err}, After: after}
}

// Reason returns the reason of the condition for an error.
func Reason(err error) string {
	var withReason interface{ reason() string }
	if errors.As(err, &withReason) {
		return cmp.Or(withReason.reason(), v1.FailureReason)
	}
	return v1.FailureReason
}
