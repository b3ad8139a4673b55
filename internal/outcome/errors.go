// SPDX-License-Identifier: Apache-2.0

package outcome

import (
	"errors"
	"time"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// StalledError says that nothing but a change of the object, or of one that it
// refers to, can help. Nothing is retried.
type StalledError struct {
	Reason string
	Err    error
}

// Stalled returns a StalledError.
func Stalled(reason string, err error) error { return &StalledError{Reason: reason, Err: err} }

func (e *StalledError) Error() string { return e.Err.Error() }

func (e *StalledError) Unwrap() error { return e.Err }

// WaitingError says that something must happen elsewhere first. It is looked
// at again when a watch tells, or after some time.
type WaitingError struct {
	Reason string
	// After is the time until the next look. Zero leaves it to the watches.
	After time.Duration
	// KeepReady says that the last result is still good: an object that was
	// ready for its current generation stays so.
	KeepReady bool
	Err       error
}

// Waiting returns a WaitingError.
func Waiting(reason string, after time.Duration, err error) error {
	return &WaitingError{Reason: reason, After: after, Err: err}
}

// KeepReady returns a WaitingError under which an object that is ready for its
// current generation stays so, with the message of the Result beside it.
func KeepReady(reason string, after time.Duration, err error) error {
	return &WaitingError{Reason: reason, After: after, KeepReady: true, Err: err}
}

func (e *WaitingError) Error() string { return e.Err.Error() }

func (e *WaitingError) Unwrap() error { return e.Err }

// RetryError says that the same may succeed the next time. It is retried with
// a growing delay. It gives an error a reason; one without is FailureReason.
type RetryError struct {
	Reason string
	Err    error
}

// Retry returns a RetryError.
func Retry(reason string, err error) error { return &RetryError{Reason: reason, Err: err} }

func (e *RetryError) Error() string { return e.Err.Error() }

func (e *RetryError) Unwrap() error { return e.Err }

// DeferredError says that the work can't be begun now and that nothing is wrong:
// it is tried again after some time, and nobody needs to know. Nothing of the
// object is written.
type DeferredError struct {
	// After is the time until the next try.
	After time.Duration
	Err   error
}

// Deferred returns a DeferredError.
func Deferred(after time.Duration, err error) error { return &DeferredError{After: after, Err: err} }

func (e *DeferredError) Error() string { return e.Err.Error() }

func (e *DeferredError) Unwrap() error { return e.Err }

// Reason returns the reason of an error, which its object's conditions have.
func Reason(err error) string {
	if stalled, ok := errors.AsType[*StalledError](err); ok {
		return stalled.Reason
	}
	if waiting, ok := errors.AsType[*WaitingError](err); ok {
		return waiting.Reason
	}
	if retry, ok := errors.AsType[*RetryError](err); ok {
		return retry.Reason
	}
	return v1.FailureReason
}
