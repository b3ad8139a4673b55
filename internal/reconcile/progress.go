// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/conditions"
)

// progressDelay is how long work takes before it is reported in the status. Most work is done
// earlier, and needs only the write of its result.
const progressDelay = time.Second

// progressReporter writes the condition Reconciling for work that takes long.
type progressReporter[T Object] struct {
	status  *statusWriter[T]
	timer   *time.Timer
	done    chan struct{}
	object  T    // set before done is closed
	written bool // set before done is closed
}

// start reports after progressDelay that work is in progress, if the generation of the object is
// new.
func (p *progressReporter[T]) start(ctx context.Context, obj T, message string) {
	reported := obj.DeepCopyObject().(T) // the worker changes obj meanwhile
	if p.timer != nil || !conditions.MarkReconciling(reported, message, time.Now()) {
		return
	}
	p.done = make(chan struct{})
	p.timer = time.AfterFunc(progressDelay, func() {
		defer close(p.done)
		p.object = reported
		p.written = p.status.write(ctx, reported) == nil // the write of the result will fail too
	})
}

// stop stops reporting, and copies the conditions and the resource version that were written to
// obj.
func (p *progressReporter[T]) stop(obj T) {
	if p.timer == nil || p.timer.Stop() {
		return
	}
	<-p.done
	if p.written {
		obj.SetConditions(slices.Clone(p.object.GetConditions())) // the next patch is computed from p.object
		obj.SetResourceVersion(p.object.GetResourceVersion())
	}
}
