// SPDX-License-Identifier: Apache-2.0

package conditions

import (
	"cmp"
	"errors"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// failure is an error with the reason that conditions have for it.
type failure struct {
	Reason string
	Err    error
}

func (f failure) Error() string { return f.Err.Error() }

func (f failure) Unwrap() error { return f.Err }

func (f failure) reason() string { return f.Reason }

// StalledError says that nothing but a change of the object, or of one that it
// refers to, can help. Nothing is retried.
type StalledError struct{ failure }

// Stalled returns a StalledError.
func Stalled(reason string, err error) error { return &StalledError{failure{reason, err}} }

// WaitingError says that something must happen elsewhere first. It is looked
// at again when a watch tells, or after some time.
type WaitingError struct {
	failure
	// After is the time until the next look. Zero leaves it to the watches.
	After time.Duration
	// KeepReady says that the last result is still good: an object that was
	// ready for its current generation stays so.
	KeepReady bool
}

// Waiting returns a WaitingError.
func Waiting(reason string, after time.Duration, err error) error {
	return &WaitingError{failure: failure{reason, err}, After: after}
}

// KeepReady returns a WaitingError under which an object that is ready for its
// current generation stays so, with the message of the Result beside it.
func KeepReady(reason string, after time.Duration, err error) error {
	return &WaitingError{failure: failure{reason, err}, After: after, KeepReady: true}
}

// RetryError says that the same may succeed the next time. It is retried with
// a growing delay. It gives an error a reason; one without is FailureReason.
type RetryError struct{ failure }

// Retry returns a RetryError.
func Retry(reason string, err error) error { return &RetryError{failure{reason, err}} }

// DeferredError says that the work can't be begun now and that nothing is wrong:
// it is tried again after some time, and nobody needs to know. Nothing of the
// object is written.
type DeferredError struct {
	failure
	// After is the time until the next try.
	After time.Duration
}

// Deferred returns a DeferredError.
func Deferred(after time.Duration, err error) error {
	return &DeferredError{failure: failure{Err: err}, After: after}
}

// Reason returns the reason of an error, which its object's conditions have.
func Reason(err error) string {
	var known interface{ reason() string }
	if errors.As(err, &known) {
		return cmp.Or(known.reason(), v1.FailureReason)
	}
	return v1.FailureReason
}
