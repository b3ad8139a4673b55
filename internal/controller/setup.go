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

// Options is what the reconcilers are made of and set up with.
type Options struct {
	// Auth says how a registry is reached. Both reconcilers share it.
	Auth registry.AuthOptionsGetter
	// Registry is the client of the registries. Both reconcilers share it.
	Registry *registry.Client
	// Store keeps the tags: written by the one reconciler, read by the other.
	Store *store.Store
	// VerifierFactory check the signatures of images.
	Verifiers imagepolicy.VerifierFactory
	// Publisher publishes events.
	Publisher reconcile.Publisher
	// Durations is told of every reconcile.
	Durations reconcile.Durations
	// Scans is told of every scan.
	Scans imagerepository.Scans

	// Shard selects the objects that the manager's cache has. The others of the
	// cluster belong to other controllers.
	Shard labels.Selector
	// NoCrossNamespaceRefs forbids references to other namespaces.
	NoCrossNamespaceRefs bool
	// Concurrent is how many objects of each kind are reconciled at a time.
	Concurrent int
	// RequeueDependency is the time between two looks at a dependency.
	RequeueDependency time.Duration
	// JitterPercent is by how much intervals are moved.
	JitterPercent uint8
	// RateLimiter makes the delays between retries, one for each kind.
	RateLimiter func() workqueue.TypedRateLimiter[ctrl.Request]
}

// Setup adds both reconcilers to the manager.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1.ImagePolicy{}, repositoryIndex, indexByRepository); err != nil {
		return fmt.Errorf("ImagePolicies can't be indexed: %w", err)
	}
	if err := mgr.Add(&storeCleaner{reader: mgr.GetClient(), store: o.Store}); err != nil {
		return err
	}
	find, policies := dependents{mgr.GetClient()}, &requestQueue{}
	if err := o.setupRepositories(mgr, find, policies); err != nil {
		return fmt.Errorf("the ImageRepository controller can't be set up: %w", err)
	}
	if err := o.setupPolicies(mgr, find, policies); err != nil {
		return fmt.Errorf("the ImagePolicy controller can't be set up: %w", err)
	}
	return nil
}

func (o Options) setupRepositories(mgr ctrl.Manager, find dependents, policies *requestQueue) error {
	repositories := &requestQueue{}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1.ImageRepository{}, builder.WithPredicates(ownChanges())).
		WatchesRawSource(source.TypedFunc[ctrl.Request](repositories.setQueue)).
		WithOptions(o.controller()).
		Complete(newReconciler(mgr, o, v1.ImageRepositoryKind, &imagerepository.Worker{
			Auth:  o.Auth,
			Open:  func(access registry.Access) imagerepository.Repository { return o.Registry.Open(access) },
			Store: o.Store,
			Saved: func(ctx context.Context, repo types.NamespacedName) {
				policies.add(find.ofRepository(ctx, repo)...)
			},
			Wake:          repositories.Wake,
			Scans:         o.Scans,
			JitterPercent: o.JitterPercent,
		}))
}

func (o Options) setupPolicies(mgr ctrl.Manager, find dependents, policies *requestQueue) error {
	reader := mgr.GetClient()
	ofRepository := func(ctx context.Context, repo client.Object) []ctrl.Request {
		return find.ofRepository(ctx, client.ObjectKeyFromObject(repo))
	}
	b := ctrl.NewControllerManagedBy(mgr).
		For(&v1.ImagePolicy{}, builder.WithPredicates(ownChanges())).
		Watches(&v1.ImageRepository{}, handler.EnqueueRequestsFromMapFunc(ofRepository), builder.WithPredicates(repositoryChanges())).
		WatchesRawSource(source.TypedFunc[ctrl.Request](policies.setQueue)).
		WithOptions(o.controller())
	if !o.NoCrossNamespaceRefs {
		b = b.WatchesMetadata(imagepolicy.NamespaceMetadata(), handler.EnqueueRequestsFromMapFunc(find.ofNamespace),
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
		Wake:              policies.Wake,
		RequeueDependency: o.RequeueDependency,
		JitterPercent:     o.JitterPercent,
	}))
}

func (o Options) controller() controller.Options {
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

// ownChanges passes what an object's author changes, and not what its
// reconciler writes.
func ownChanges() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicates.ReconcileRequestedPredicate{}, onlyUpdates(replaces))
}

// replaces reports whether an update replaces an object by another one of its
// name: what becomes of a deletion and a creation while a watch is interrupted.
// The generation is 1 before and after.
func replaces(e event.UpdateEvent) bool { return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() }
