// SPDX-License-Identifier: Apache-2.0

// Package conditions turns what a reconcile came to into conditions, a next time,
// and events. It is pure, and the only writer of conditions.
package conditions

import (
	"errors"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Object is what both kinds have in common.
type Object interface {
	metav1.Object
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
}

// Result is what a reconcile that succeeded returns. Beside a WaitingError that
// keeps an object ready, only its message counts.
type Result struct {
	// Message is the message of the Ready condition.
	Message string
	// After is the time until the next reconcile. Zero leaves it to the watches.
	After time.Duration
	// SuppressEvent says that what changed was told before, and not long ago: it makes
	// no event.
	SuppressEvent bool
}

// Outcome is what follows from a reconcile.
type Outcome struct {
	// After is the time until the next reconcile, zero for none.
	After time.Duration
	// Err, where there is one, is to be retried with a growing delay.
	Err error
	// SkipUpdate says that nothing was settled: the object is not to be written.
	SkipUpdate bool
	// Events are to be published once the status is written.
	Events []Event
}

// Apply writes the conditions that follow from result or err to after, and
// returns what else follows. before is the object as it was when the reconcile
// began, after as the work left it.
func Apply(before, after Object, result Result, err error, now time.Time) Outcome {
	if deferred, ok := errors.AsType[*DeferredError](err); ok {
		return Outcome{After: deferred.After, SkipUpdate: true}
	}
	c := newWriter(after, now)
	settlement := apply(c, before, result, err)
	c.setVerified(err)
	setObservedGeneration(after)
	settlement.Events = events(before, after, result.SuppressEvent)
	return settlement
}

func apply(c writer, before Object, result Result, err error) Outcome {
	if err == nil {
		c.ready(metav1.ConditionTrue, meta.SucceededReason, result.Message, abnormal{})
		return Outcome{After: result.After}
	}
	if stalled, ok := errors.AsType[*StalledError](err); ok {
		c.ready(metav1.ConditionFalse, stalled.Reason, err.Error(), abnormal{meta.StalledCondition, stalled.Reason})
		return Outcome{}
	}
	if waiting, ok := errors.AsType[*WaitingError](err); ok {
		if waiting.KeepReady && ReadyNow(before) {
			c.ready(metav1.ConditionTrue, meta.SucceededReason, result.Message, abnormal{})
		} else {
			c.ready(metav1.ConditionFalse, waiting.Reason, err.Error(), abnormal{})
		}
		return Outcome{After: waiting.After}
	}
	c.ready(metav1.ConditionFalse, Reason(err), err.Error(), abnormal{meta.ReconcilingCondition, meta.ProgressingWithRetryReason})
	return Outcome{Err: err}
}

// MarkReconciling marks the object as being worked on where its generation is new, and
// reports whether it did. A known generation keeps its conditions, so that
// they don't flip with every reconcile.
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
