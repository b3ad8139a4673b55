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
	// partitions is the number of events that are published concurrently. The events of one object
	// share a partition, so their order is kept.
	partitions = 8
	// maxQueued bounds the length of a partition while the receiver of events is down.
	maxQueued = 512
	// drainTime is how long queued events are published after the context has ended.
	drainTime = 5 * time.Second
)

// EventQueue publishes events in the background, so that a slow or hanging receiver does not block
// workers. It is a manager.Runnable.
type EventQueue struct {
	recorder   record.EventRecorder
	partitions [partitions]chan queuedEvent
}

type queuedEvent struct {
	obj   client.Object
	event conditions.Event
}

// NewEventQueue returns a queue that publishes to recorder.
func NewEventQueue(recorder record.EventRecorder) *EventQueue {
	q := &EventQueue{recorder: recorder}
	for i := range q.partitions {
		q.partitions[i] = make(chan queuedEvent, maxQueued)
	}
	return q
}

// Publish queues the event. If the queue is full, the event is logged and dropped.
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

// Start publishes events until ctx ends, and then those still queued, for at most drainTime.
func (q *EventQueue) Start(ctx context.Context) error {
	var publishers sync.WaitGroup
	for _, partition := range q.partitions {
		publishers.Go(func() { q.publishAll(ctx, partition) })
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

// publishAll publishes until ctx has ended and the partition is empty.
func (q *EventQueue) publishAll(ctx context.Context, partition <-chan queuedEvent) {
	for {
		select {
		case next := <-partition:
			q.publish(next)
			continue
		default:
		}
		select {
		case next := <-partition:
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
