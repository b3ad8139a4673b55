// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync/atomic"

	ctrl "sigs.k8s.io/controller-runtime"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/image"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
	"github.com/fluxcd/image-reflector-controller/internal/registry/ratelimit"
)

// requestQueue enqueues the objects of one kind.
type requestQueue struct {
	queue atomic.Pointer[workqueue.TypedRateLimitingInterface[ctrl.Request]] // nil before it runs
}

// setQueue is called with the kind's queue once it runs.
func (i *requestQueue) setQueue(_ context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
	i.queue.Store(&queue)
	return nil
}

// add enqueues objects. Before the queue runs there is nothing to enqueue: all
// objects are still to come.
func (i *requestQueue) add(requests ...ctrl.Request) {
	queue := i.queue.Load()
	if queue == nil {
		return
	}
	for _, request := range requests {
		(*queue).Add(request)
	}
}

// Wake enqueues one object.
func (i *requestQueue) Wake(name types.NamespacedName) { i.add(ctrl.Request{NamespacedName: name}) }

// waiterKey identifies an object of either kind.
type waiterKey struct {
	kind string
	name types.NamespacedName
}

// waiterOf returns an object as what the limiter of a registry host wakes.
func waiterOf(kind string, name types.NamespacedName, wake func(types.NamespacedName)) ratelimit.Waiter {
	if wake == nil {
		return ratelimit.Waiter{}
	}
	return ratelimit.Waiter{Key: waiterKey{kind, name}, Wake: func() { wake(name) }}
}

// accessOf returns how the image of a repository is read. Credentials are read
// when a request will be made.
func accessOf(auth registry.AuthOptionsGetter, repo *v1.ImageRepository, name image.Name) registry.Access {
	access := registry.Access{
		Image:     name,
		Auth:      func(ctx context.Context) (registry.AuthOptions, error) { return auth.AuthOptions(ctx, repo) },
		Anonymous: repo.Spec.SecretRef == nil && repo.Spec.ServiceAccountName == "" && repo.GetProvider() == v1.ProviderGeneric,
	}
	if ref := repo.Spec.ProxySecretRef; ref != nil {
		access.Proxy = repo.Namespace + "/" + ref.Name
	}
	return access
}
