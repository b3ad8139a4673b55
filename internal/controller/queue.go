// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
)

// requestQueue adds requests to the work queue of one controller, in addition to those of its
// watches.
type requestQueue struct {
	queue atomic.Pointer[workqueue.TypedRateLimitingInterface[ctrl.Request]] // nil until the controller starts
}

// setQueue is a source function: the controller passes its queue to it when it starts.
func (q *requestQueue) setQueue(_ context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
	q.queue.Store(&queue)
	return nil
}

// add enqueues objects. It does nothing before the controller starts: the initial list of its
// watch enqueues all objects.
func (q *requestQueue) add(requests ...ctrl.Request) {
	queue := q.queue.Load()
	if queue == nil {
		return
	}
	for _, request := range requests {
		(*queue).Add(request)
	}
}

// wake enqueues one object.
func (q *requestQueue) wake(name types.NamespacedName) { q.add(ctrl.Request{NamespacedName: name}) }
