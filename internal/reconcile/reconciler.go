// SPDX-License-Identifier: Apache-2.0

// Package reconcile holds the reconciler of both kinds: it gets the object, skips suspended and
// deleted ones, calls the worker, applies the result to the conditions and writes the status once.
package reconcile

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/conditions"
)

// Object is an API object with conditions.
type Object interface {
	client.Object
	conditions.Object
}

// ProgressFunc reports the start of work that may take long. If it does, and the generation of the
// object is new, the message is written to the condition Reconciling.
type ProgressFunc func(message string)

// Worker reconciles the objects of one kind.
type Worker[T Object] interface {
	// New returns an empty object.
	New() T
	// Suspended reports whether the object is not reconciled.
	Suspended(obj T) bool
	// Work does the work and writes its result to the status, except for the conditions. The
	// status is also written if it returns an error, except for a conditions.DeferredError, a
	// conflict, or at shutdown.
	Work(ctx context.Context, obj T, progress ProgressFunc) (conditions.Result, error)
	// Forget removes the cached and stored data of a deleted object.
	Forget(ctx context.Context, name types.NamespacedName) error
}

// Durations records the durations of reconciles.
type Durations interface {
	// Observe records the duration of one reconcile.
	Observe(kind string, object types.NamespacedName, duration time.Duration)
	// Forget removes the metrics of a deleted object.
	Forget(kind string, object types.NamespacedName)
}

// Reconciler reconciles the objects of one kind with a worker.
type Reconciler[T Object] struct {
	// Client reads objects from the cache, and writes them.
	Client client.Client
	// APIReader reads objects from the API server.
	APIReader client.Reader
	// Worker reconciles one object.
	Worker Worker[T]
	// Publisher publishes the events.
	Publisher Publisher
	// Kind is the kind of the objects.
	Kind string
	// Durations records the duration of every reconcile. It may be nil.
	Durations Durations
}

// Reconcile reconciles one object. It implements reconcile.Reconciler of
// controller-runtime.
func (r *Reconciler[T]) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	start := time.Now()
	obj := r.Worker.New()
	if err := r.Client.Get(ctx, req.NamespacedName, obj); err != nil {
		if apierrors.IsNotFound(err) {
			return ctrl.Result{}, r.forget(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, err
	}
	deleted := !obj.GetDeletionTimestamp().IsZero()
	if deleted { // while the finalizer still exists, so that a failure is retried
		if err := r.forget(ctx, req.NamespacedName); err != nil {
			return ctrl.Result{}, err
		}
	}
	if err := r.removeFinalizer(ctx, obj); err != nil || deleted {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if r.Worker.Suspended(obj) {
		return ctrl.Result{}, nil
	}
	if r.Durations != nil {
		defer func() { r.Durations.Observe(r.Kind, req.NamespacedName, time.Since(start)) }()
	}
	return r.work(ctx, obj, start)
}

// removeFinalizer removes the finalizer that another implementation of the API may have set. It
// would block deletion after that implementation was replaced.
func (r *Reconciler[T]) removeFinalizer(ctx context.Context, obj T) error {
	if !controllerutil.ContainsFinalizer(obj, v1.ImageFinalizer) {
		return nil
	}
	before := obj.DeepCopyObject().(T)
	controllerutil.RemoveFinalizer(obj, v1.ImageFinalizer)
	return r.Client.Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// forget removes the metrics and the worker's data of an object that is deleted or being deleted.
func (r *Reconciler[T]) forget(ctx context.Context, name types.NamespacedName) error {
	if r.Durations != nil {
		r.Durations.Forget(r.Kind, name)
	}
	return r.Worker.Forget(ctx, name)
}

func (r *Reconciler[T]) work(ctx context.Context, obj T, start time.Time) (ctrl.Result, error) {
	before := obj.DeepCopyObject().(T)
	status := &statusWriter[T]{client: r.Client, apiReader: r.APIReader, newObject: r.Worker.New, written: before}
	progress := &progressReporter[T]{status: status}

	result, err := r.Worker.Work(ctx, obj, func(message string) { progress.start(ctx, obj, message) })
	progress.stop(obj)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil //nolint:nilerr // an error during shutdown is not an error of the object
	}
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictDelay}, nil
	}
	outcome := conditions.Apply(before, obj, result, err, time.Now())
	if outcome.SkipUpdate {
		return ctrl.Result{RequeueAfter: outcome.After}, nil
	}
	if err := status.write(ctx, obj); apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictDelay}, nil
	} else if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err) // not found: the object was deleted meanwhile
	}
	r.publish(ctx, obj, outcome.Events, start)
	return ctrl.Result{RequeueAfter: coalesce(outcome.After, time.Since(started))}, outcome.Err
}

// conflictDelay gives the cache time to receive the change that caused a conflict.
const conflictDelay = 100 * time.Millisecond

const (
	// slack is the most by which a requeue is delayed further, so that requeues that are due within
	// it share one wakeup of the process. Separate wakeups take a third of the CPU time of unchanged
	// scans: docs/design/0067-cheap-unchanged-scans.md.
	slack = 250 * time.Millisecond
	// minCoalesced is the shortest delay that is extended.
	minCoalesced = 4 * time.Second
)

// started is the origin of the times at which requeues are due. It differs between processes, so
// that they don't scan at the same moments.
var started = time.Now()

// coalesce extends a delay so that it ends at a multiple of slack after started. now is the time
// since then.
func coalesce(delay, now time.Duration) time.Duration {
	if delay < minCoalesced {
		return delay
	}
	return (now + delay + slack - 1).Truncate(slack) - now
}

// publish publishes and logs the events. A reconcile without events logs nothing.
func (r *Reconciler[T]) publish(ctx context.Context, obj T, events []conditions.Event, start time.Time) {
	log := ctrl.LoggerFrom(ctx)
	for _, event := range events {
		log.Info(event.Message, "reason", event.Reason, "warning", event.Warning,
			"generation", obj.GetGeneration(), "duration", time.Since(start).String())
		r.Publisher.Publish(obj.DeepCopyObject().(T), event)
	}
}
