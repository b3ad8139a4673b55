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

package lifecycle

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fluxcd/image-reflector-controller/internal/outcome"
)

// Publisher publishes the events of an object.
type Publisher interface {
	Publish(obj client.Object, event outcome.Event)
}

// maxQueued bounds the memory that a receiver of events that is down can cost.
const maxQueued = 4096

// EventQueue publishes events in the background: a receiver that is slow or
// down must not hold up a worker. It is a manager.Runnable.
type EventQueue struct {
	recorder record.EventRecorder
	queue    chan queuedEvent
}

type queuedEvent struct {
	obj   client.Object
	event outcome.Event
}

// NewEventQueue returns a queue in front of recorder.
func NewEventQueue(recorder record.EventRecorder) *EventQueue {
	return &EventQueue{recorder: recorder, queue: make(chan queuedEvent, maxQueued)}
}

// Publish queues the event. Where the queue is full, the event is logged and
// dropped.
func (q *EventQueue) Publish(obj client.Object, event outcome.Event) {
	select {
	case q.queue <- queuedEvent{obj, event}:
	default:
		ctrl.Log.WithName("events").Info("event dropped: the receiver of events is too slow",
			"name", obj.GetName(), "namespace", obj.GetNamespace(), "reason", event.Reason, "message", event.Message)
	}
}

// Start publishes until ctx ends, and then what is still queued.
func (q *EventQueue) Start(ctx context.Context) error {
	for {
		select {
		case next := <-q.queue:
			q.publish(next)
		case <-ctx.Done():
			q.drain()
			return nil
		}
	}
}

func (q *EventQueue) drain() {
	for {
		select {
		case next := <-q.queue:
			q.publish(next)
		default:
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
