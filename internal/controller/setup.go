// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/runtime/predicates"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/controller/imagepolicy"
	"github.com/fluxcd/image-reflector-controller/internal/controller/imagerepository"
	"github.com/fluxcd/image-reflector-controller/internal/reconcile"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/store"
)

// Options holds the dependencies and settings of the reconcilers.
type Options struct {
	// Auth returns the credentials and transport settings of registries, for both reconcilers.
	Auth registry.AuthOptionsGetter
	// Registry is the registry client of both reconcilers.
	Registry *registry.Client
	// Store stores the tags. The reconciler of ImageRepositories writes it, the one of
	// ImagePolicies reads it.
	Store *store.Store
	// Verifiers makes the verifiers of image signatures.
	Verifiers imagepolicy.VerifierFactory
	// Publisher publishes events.
	Publisher reconcile.Publisher
	// Durations records the duration of every reconcile.
	Durations reconcile.Durations
	// Scans records every scan.
	Scans imagerepository.Scans

	// Shard selects the objects in the manager's cache. Others belong to other controllers.
	Shard labels.Selector
	// NoCrossNamespaceRefs forbids references to other namespaces.
	NoCrossNamespaceRefs bool
	// Concurrent is the number of objects of each kind that are reconciled at a time.
	Concurrent int
	// RequeueDependency is the interval at which a dependency that is not ready is checked again.
	RequeueDependency time.Duration
	// JitterPercent is the jitter of intervals, in percent.
	JitterPercent uint8
	// RateLimiter returns a rate limiter of retries. Each kind has its own.
	RateLimiter func() workqueue.TypedRateLimiter[ctrl.Request]
}

// Setup adds the index of policies, the cleaner of the store, and both reconcilers to the manager.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1.ImagePolicy{}, repositoryIndex, indexByRepository); err != nil {
		return fmt.Errorf("ImagePolicies can't be indexed: %w", err)
	}
	if err := mgr.Add(&storeCleaner{reader: mgr.GetClient(), store: o.Store}); err != nil {
		return err
	}
	deps, policyQueue := dependents{mgr.GetClient()}, &requestQueue{}
	if err := o.setupRepositories(mgr, deps, policyQueue); err != nil {
		return fmt.Errorf("the ImageRepository controller can't be set up: %w", err)
	}
	if err := o.setupPolicies(mgr, deps, policyQueue); err != nil {
		return fmt.Errorf("the ImagePolicy controller can't be set up: %w", err)
	}
	return nil
}

func (o Options) setupRepositories(mgr ctrl.Manager, deps dependents, policyQueue *requestQueue) error {
	repositoryQueue := &requestQueue{}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1.ImageRepository{}, builder.WithPredicates(ownChanges())).
		WatchesRawSource(source.TypedFunc[ctrl.Request](repositoryQueue.setQueue)).
		WithOptions(o.controllerOptions()).
		Complete(newReconciler(mgr, o, v1.ImageRepositoryKind, &imagerepository.Worker{
			Auth:  o.Auth,
			Open:  func(access registry.Access) imagerepository.Repository { return o.Registry.Open(access) },
			Store: o.Store,
			NotifyPolicies: func(ctx context.Context, repo types.NamespacedName) {
				policyQueue.add(deps.ofRepository(ctx, repo)...)
			},
			Wake:          repositoryQueue.wake,
			Scans:         o.Scans,
			JitterPercent: o.JitterPercent,
		}))
}

func (o Options) setupPolicies(mgr ctrl.Manager, deps dependents, policyQueue *requestQueue) error {
	reader := mgr.GetClient()
	ofRepository := func(ctx context.Context, repo client.Object) []ctrl.Request {
		return deps.ofRepository(ctx, client.ObjectKeyFromObject(repo))
	}
	b := ctrl.NewControllerManagedBy(mgr).
		For(&v1.ImagePolicy{}, builder.WithPredicates(ownChanges())).
		Watches(&v1.ImageRepository{}, handler.EnqueueRequestsFromMapFunc(ofRepository), builder.WithPredicates(repositoryChanges())).
		WatchesRawSource(source.TypedFunc[ctrl.Request](policyQueue.setQueue)).
		WithOptions(o.controllerOptions())
	if !o.NoCrossNamespaceRefs { // access depends on the labels of the policy's namespace
		b = b.WatchesMetadata(imagepolicy.NamespaceMetadata(), handler.EnqueueRequestsFromMapFunc(deps.ofNamespace),
			builder.WithPredicates(onlyUpdates(predicate.LabelChangedPredicate{}.Update)))
	}
	return b.Complete(newReconciler(mgr, o, v1.ImagePolicyKind, &imagepolicy.Worker{
		Reader:            reader,
		Access:            imagepolicy.Access{Reader: reader, NoCrossNamespaceRefs: o.NoCrossNamespaceRefs},
		Shard:             imagepolicy.Shard{Selector: o.Shard, APIReader: mgr.GetAPIReader()},
		Auth:              o.Auth,
		Open:              func(access registry.Access) imagepolicy.Repository { return o.Registry.Open(access) },
		Store:             o.Store,
		Verifiers:         o.Verifiers,
		Wake:              policyQueue.wake,
		RequeueDependency: o.RequeueDependency,
		JitterPercent:     o.JitterPercent,
	}))
}

func (o Options) controllerOptions() controller.Options {
	return controller.Options{MaxConcurrentReconciles: o.Concurrent, RateLimiter: o.RateLimiter()}
}

func newReconciler[T reconcile.Object](mgr ctrl.Manager, o Options, kind string, worker reconcile.Worker[T]) *reconcile.Reconciler[T] {
	return &reconcile.Reconciler[T]{
		Client:    mgr.GetClient(),
		APIReader: mgr.GetAPIReader(),
		Worker:    worker,
		Publisher: o.Publisher,
		Kind:      kind,
		Durations: o.Durations,
	}
}

// ownChanges passes creations, deletions, changes of the spec and reconcile requests, but no
// changes of the status.
func ownChanges() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{}, onlyUpdates(replaces))
}

// replaces reports whether an update replaces an object with a new one of the same name. A watch
// that was interrupted reports a deletion and a creation as an update. Both generations are 1.
func replaces(e event.UpdateEvent) bool { return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() }
