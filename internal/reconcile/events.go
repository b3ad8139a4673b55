// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"hash/fnv"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/internal/conditions"
)

// Publisher publishes the events of an object.
type Publisher interface {
	Publish(obj client.Object, event conditions.Event)
}

const (
	// partitions is how many events are published at a time. Those of one object
	// share a lane, so that they keep their order.
	partitions = 8
	// maxQueued bounds, for each lane, the memory that a receiver of events
	// which is down can cost.
	maxQueued = 512
	// drainTime is how long a process that ends goes on publishing.
	drainTime = 5 * time.Second
)

// EventQueue publishes events in the background: a receiver that is slow or
// down must not hold up a worker. It is a manager.Runnable.
type EventQueue struct {
	recorder   record.EventRecorder
	partitions [partitions]chan queuedEvent
}

type queuedEvent struct {
	obj   client.Object
	event conditions.Event
}

// NewEventQueue returns a queue in front of recorder.
func NewEventQueue(recorder record.EventRecorder) *EventQueue {
	q := &EventQueue{recorder: recorder}
	for i := range q.partitions {
		q.partitions[i] = make(chan queuedEvent, maxQueued)
	}
	return q
}

// Publish queues the event. Where the queue is full, the event is logged and
// dropped.
func (q *EventQueue) Publish(obj client.Object, event conditions.Event) {
	select {
	case q.partitionOf(obj) <- queuedEvent{obj, event}:
	default:
		ctrl.Log.WithName("events").Info("event dropped: the receiver of events is too slow",
			"kind", reflect.TypeOf(obj).Elem().Name(), "name", obj.GetName(), "namespace", obj.GetNamespace(),
			"reason", event.Reason, "message", event.Message)
	}
}

func (q *EventQueue) partitionOf(obj client.Object) chan queuedEvent {
	h := fnv.New32a()
	h.Write([]byte(obj.GetUID())) // a hash never returns an error
	return q.partitions[h.Sum32()%partitions]
}

// Start publishes until ctx ends, and then for a while what is still queued.
func (q *EventQueue) Start(ctx context.Context) error {
	var publishers sync.WaitGroup
	for _, lane := range q.partitions {
		publishers.Go(func() { q.publishAll(ctx, lane) })
	}
	done := make(chan struct{})
	go func() {
		publishers.Wait()
		close(done)
	}()
	<-ctx.Done()
	select {
	case <-done:
	case <-time.After(drainTime): // the recorder can't be interrupted
	}
	return nil
}

// publishAll publishes until ctx ends and nothing is queued.
func (q *EventQueue) publishAll(ctx context.Context, lane <-chan queuedEvent) {
	for {
		select {
		case next := <-lane:
			q.publish(next)
			continue
		default:
		}
		select {
		case next := <-lane:
			q.publish(next)
		case <-ctx.Done():
			return
		}
	}
}

func (q *EventQueue) publish(next queuedEvent) {
	kind := corev1.EventTypeNormal
	if next.event.Warning {
		kind = corev1.EventTypeWarning
	}
	q.recorder.AnnotatedEventf(next.obj, next.event.Metadata, kind, next.event.Reason, "%s", next.event.Message)
}
