// SPDX-License-Identifier: Apache-2.0

// Package reconcile is the shell that both reconcilers share: it gets the
// object, leaves suspended and deleted ones alone, lets a worker do the work,
// settles what came of it, and writes the status once.
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

// Object is an object of a kind that has conditions.
type Object interface {
	client.Object
	conditions.Object
}

// ProgressFunc tells that work which may take long begins. Where it does, and the
// object's generation is new, the object's status says so.
type ProgressFunc func(message string)

// Worker does the work of one kind.
type Worker[T Object] interface {
	// New returns an empty object.
	New() T
	// Suspended reports whether the object is to be left alone.
	Suspended(obj T) bool
	// Work does the work and leaves what it found in the status, but for the
	// conditions. The status is also written where it returns an error.
	Work(ctx context.Context, obj T, begin ProgressFunc) (conditions.Result, error)
	// Forget drops what is held for an object that is gone.
	Forget(ctx context.Context, name types.NamespacedName) error
}

// Durations keeps how long reconciles take.
type Durations interface {
	// Observe adds a reconcile of an object.
	Observe(kind string, object types.NamespacedName, took time.Duration)
	// Forget drops what is kept of an object that is gone.
	Forget(kind string, object types.NamespacedName)
}

// Reconciler reconciles the objects of one kind with a worker.
type Reconciler[T Object] struct {
	// Client reads objects from the cache, and writes them.
	Client client.Client
	// APIReader reads objects from the API server.
	APIReader client.Reader
	// Worker does the work.
	Worker Worker[T]
	// Publisher publishes the events.
	Publisher Publisher
	// Kind is the kind of the objects.
	Kind string
	// Durations is told of every reconcile. It may be nil.
	Durations Durations
}

// Reconcile brings one object's status up to date.
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
	if deleted { // before the finalizer is off and nobody can tell any more
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

// removeFinalizer removes the finalizer that another implementation of the
// API may have left: nobody else would, once that one is gone.
func (r *Reconciler[T]) removeFinalizer(ctx context.Context, obj T) error {
	before := obj.DeepCopyObject().(T)
	if !controllerutil.RemoveFinalizer(obj, v1.ImageFinalizer) {
		return nil
	}
	return r.Client.Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// forget drops all that is held for an object which is, or is being, deleted.
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

	result, err := r.Worker.Work(ctx, obj, func(message string) { progress.begin(ctx, obj, message) })
	progress.end(obj)
	if ctx.Err() != nil {
		return ctrl.Result{}, nil //nolint:nilerr // shutting down says nothing about the object, and is no error
	}
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictDelay}, nil
	}
	settlement := conditions.Apply(before, obj, result, err, time.Now())
	if settlement.SkipUpdate {
		return ctrl.Result{RequeueAfter: settlement.After}, nil
	}
	if err := status.write(ctx, obj); apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictDelay}, nil
	} else if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err) // deleted meanwhile, which is another event
	}
	r.publish(ctx, obj, settlement.Events, start)
	return ctrl.Result{RequeueAfter: settlement.After}, settlement.Err
}

// conflictDelay gives the cache time to see what the conflict was about.
const conflictDelay = 100 * time.Millisecond

// publish tells the events, and logs them with the time that they took: they
// are all that is logged of a reconcile, so that one without news is not.
func (r *Reconciler[T]) publish(ctx context.Context, obj T, events []conditions.Event, start time.Time) {
	log := ctrl.LoggerFrom(ctx)
	for _, event := range events {
		log.Info(event.Message, "reason", event.Reason, "warning", event.Warning,
			"generation", obj.GetGeneration(), "duration", time.Since(start).String())
		r.Publisher.Publish(obj.DeepCopyObject().(T), event)
	}
}
