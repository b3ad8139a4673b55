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

package ratelimit

import (
	"container/list"
	"time"
)

// Waiter is an operation that can be woken.
type Waiter struct {
	// Key identifies the operation. It must be comparable.
	Key any
	// Wake is called when the operation is likely to be admitted. It must not
	// block. An operation without it is not queued.
	Wake func()
}

// wokenFor is how long a woken operation keeps its precedence.
const wokenFor = time.Second

// waitQueue is the queue of the operations that wait, the first one first.
// Nothing is reserved for them: an operation that was woken, and finds the limiter
// busy again, returns to the front.
type waitQueue struct {
	order   list.List // of *waiting
	waiting map[any]*list.Element
	woken   map[any]woken
}

// waiting is an operation in the queue.
type waiting struct {
	waiter Waiter
	since  time.Time
}

// woken is an operation that was woken and has not returned yet.
type woken struct {
	since time.Time // when it was queued
	until time.Time // after it, it is not expected any more
}

func newWaitQueue() waitQueue {
	return waitQueue{waiting: map[any]*list.Element{}, woken: map[any]woken{}}
}

func (q *waitQueue) len() int { return q.order.Len() }

// add queues an operation: in front if it was woken, at the end if it is new.
func (q *waitQueue) add(w Waiter, now time.Time) {
	if _, found := q.waiting[w.Key]; found {
		return
	}
	entry := &waiting{waiter: w, since: now}
	if before, found := q.woken[w.Key]; found {
		entry.since = before.since
		delete(q.woken, w.Key)
		q.waiting[w.Key] = q.order.PushFront(entry)
		return
	}
	q.waiting[w.Key] = q.order.PushBack(entry)
}

// remove removes an operation, and returns since when it waited: now if it did
// not.
func (q *waitQueue) remove(key any, now time.Time) time.Time {
	if before, found := q.woken[key]; found {
		delete(q.woken, key)
		return before.since
	}
	e, found := q.waiting[key]
	if !found {
		return now
	}
	q.order.Remove(e)
	delete(q.waiting, key)
	return e.Value.(*waiting).since
}

// wake takes operations off the front of the queue until some number of woken
// ones have not returned yet, and returns their wake functions.
func (q *waitQueue) wake(number int, now time.Time) []func() {
	for key, w := range q.woken {
		if !now.Before(w.until) {
			delete(q.woken, key)
		}
	}
	var wakes []func()
	for len(q.woken) < number && q.order.Len() > 0 {
		w := q.order.Remove(q.order.Front()).(*waiting)
		delete(q.waiting, w.waiter.Key)
		q.woken[w.waiter.Key] = woken{since: w.since, until: now.Add(wokenFor)}
		wakes = append(wakes, w.waiter.Wake)
	}
	return wakes
}
