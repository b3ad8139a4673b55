// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/conditions"
)

// progressDelay is how long work goes on before its object's status says so.
// Most work is done by then, and is worth one write, of its result.
const progressDelay = time.Second

// progressReporter announces work that takes long.
type progressReporter[T Object] struct {
	status  *statusWriter[T]
	timer   *time.Timer
	done    chan struct{}
	object  T // has no meaning before done
	written bool
}

// begin announces, in a while, that work is under way, where the object's
// generation is new.
func (p *progressReporter[T]) begin(ctx context.Context, obj T, message string) {
	announced := obj.DeepCopyObject().(T) // the work goes on with obj
	if p.timer != nil || !conditions.MarkReconciling(announced, message, time.Now()) {
		return
	}
	p.done = make(chan struct{})
	p.timer = time.AfterFunc(progressDelay, func() {
		defer close(p.done)
		p.object = announced
		p.written = p.status.write(ctx, announced) == nil // a conflict is met again when the result is written
	})
}

// end ends announcements, and takes what was announced over into obj.
func (p *progressReporter[T]) end(obj T) {
	if p.timer == nil || p.timer.Stop() {
		return
	}
	<-p.done
	if p.written {
		obj.SetConditions(p.object.GetConditions())
		obj.SetResourceVersion(p.object.GetResourceVersion())
	}
}
