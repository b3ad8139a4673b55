// SPDX-License-Identifier: Apache-2.0

// Package conditions turns the result or error of a reconcile into conditions, a requeue time and
// events. It does no I/O, and is the only package that writes conditions.
package conditions

import (
	"errors"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// Object is an ImageRepository or an ImagePolicy.
type Object interface {
	metav1.Object
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
}

// Result is the result of a successful reconcile. With a WaitingError that keeps the object
// ready, After is ignored.
type Result struct {
	// Message is the message of the Ready condition.
	Message string
	// After is the time until the next reconcile. If it is zero, only watches trigger one.
	After time.Duration
	// Selection is why the latest image of a policy changed, zero if it did not.
	Selection Selection
	// SuppressEvent suppresses the event about a change that was already reported recently.
	SuppressEvent bool
}

// Selection is a change of the latest image.
type Selection struct {
	// Cause is why the image was selected.
	Cause v1.SelectionCause
	// Revision and Source are the source code that the image states to be built from, if known.
	Revision, Source string
}

// Outcome is what the caller has to do after a reconcile.
type Outcome struct {
	// After is the time until the next reconcile, zero for none.
	After time.Duration
	// Err is the error to retry with exponential backoff, nil for none.
	Err error
	// SkipUpdate reports that the object must not be written.
	SkipUpdate bool
	// Events are published after the status was written.
	Events []Event
}

// Apply writes the conditions for result or err, the observed generation and the handled reconcile
// request to after, and returns the outcome. before is the object at the start of the reconcile,
// after is the object with the changes of the worker.
func Apply(before, after Object, result Result, err error, now time.Time) Outcome {
	if deferred, ok := errors.AsType[*DeferredError](err); ok {
		return Outcome{After: deferred.After, SkipUpdate: true}
	}
	w := newWriter(after, now)
	outcome := apply(w, before, result, err)
	w.setVerified(err)
	setObservedGeneration(after)
	outcome.Events = events(before, after, result)
	return outcome
}

func apply(w writer, before Object, result Result, err error) Outcome {
	if err == nil {
		w.ready(metav1.ConditionTrue, meta.SucceededReason, result.Message, abnormal{})
		return Outcome{After: result.After}
	}
	if stalled, ok := errors.AsType[*StalledError](err); ok {
		w.ready(metav1.ConditionFalse, stalled.Reason, err.Error(), abnormal{meta.StalledCondition, stalled.Reason})
		return Outcome{}
	}
	if waiting, ok := errors.AsType[*WaitingError](err); ok {
		if waiting.KeepReady && ReadyNow(before) {
			w.ready(metav1.ConditionTrue, meta.SucceededReason, result.Message, abnormal{})
		} else {
			w.ready(metav1.ConditionFalse, waiting.Reason, err.Error(), abnormal{})
		}
		return Outcome{After: waiting.After}
	}
	w.ready(metav1.ConditionFalse, Reason(err), err.Error(), abnormal{meta.ReconcilingCondition, meta.ProgressingWithRetryReason})
	return Outcome{Err: err}
}

// MarkReconciling sets Reconciling, and Ready to Unknown, if the generation of the object is new,
// and reports whether it did. Otherwise the conditions stay, so that they don't flip with every
// reconcile.
func MarkReconciling(obj Object, message string, now time.Time) bool {
	ready := readyOf(obj)
	if ready != nil && ready.ObservedGeneration == obj.GetGeneration() {
		return false
	}
	newWriter(obj, now).ready(metav1.ConditionUnknown, meta.ProgressingReason, message,
		abnormal{meta.ReconcilingCondition, meta.ProgressingReason})
	return true
}

// ReadyNow reports whether the object is ready for its current generation.
func ReadyNow(obj Object) bool {
	ready := readyOf(obj)
	return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == obj.GetGeneration()
}
