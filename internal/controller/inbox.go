/*
Copyright 2026 The image-reflector-controller authors.

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
*/

package controller

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/registry"
)

// inbox enqueues the objects of one kind.
type inbox struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// start is called with the kind's queue once it runs.
func (i *inbox) start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.queue = queue
	return nil
}

// running returns the queue, nil before it runs. There is nothing to enqueue
// then: all objects are still to come.
func (i *inbox) running() workqueue.TypedRateLimitingInterface[reconcile.Request] {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.queue
}

// Wake enqueues one object.
func (i *inbox) Wake(name types.NamespacedName) {
	if queue := i.running(); queue != nil {
		queue.Add(reconcile.Request{NamespacedName: name})
	}
}

// callerKey tells the objects of both kinds apart.
type callerKey struct {
	kind string
	name types.NamespacedName
}

// callerOf returns the object as the one who asks the registry of repo. It is
// woken when it is its turn, if there is a way to do that.
func callerOf(
	kind string, name types.NamespacedName, repo *v1.ImageRepository, purpose registry.Purpose, wake func(types.NamespacedName),
) registry.Caller {
	caller := registry.Caller{Purpose: purpose}
	if ref := repo.Spec.ProxySecretRef; ref != nil {
		caller.Proxy = repo.Namespace + "/" + ref.Name
	}
	if wake != nil {
		caller.Key, caller.Wake = callerKey{kind, name}, func() { wake(name) }
	}
	return caller
}
