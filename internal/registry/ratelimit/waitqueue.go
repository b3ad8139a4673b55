// SPDX-License-Identifier: Apache-2.0

package ratelimit

import (
	"container/list"
	"time"
)

// Waiter is an operation that can be woken.
type Waiter struct {
	// Key identifies the operation. It must be comparable.
	Key any
	// Wake is called when the operation is likely to be admitted. It must not block. If
	// it is nil, the operation is not queued.
	Wake func()
}

// wokenFor is how long a woken operation has precedence.
const wokenFor = time.Second

// waitQueue is a FIFO queue of operations. Waking reserves no capacity: if the limiter is
// busy when a woken operation retries, the operation returns to the front.
type waitQueue struct {
	order   list.List             // of *queued
	waiting map[any]*list.Element // by the operation's key
	woken   map[any]*queued       // operations that were woken and have not retried yet
}

// queued is an operation in the queue, or one that was woken.
type queued struct {
	Waiter
	since   time.Time // when it was queued
	expires time.Time // when a woken operation loses its precedence
}

func newWaitQueue() waitQueue {
	return waitQueue{waiting: map[any]*list.Element{}, woken: map[any]*queued{}}
}

func (q *waitQueue) len() int { return q.order.Len() }

// add queues an operation: at the front if it was woken, at the end if it is new.
func (q *waitQueue) add(w Waiter, now time.Time) {
	if _, found := q.waiting[w.Key]; found {
		return
	}
	if woken, found := q.woken[w.Key]; found {
		delete(q.woken, w.Key)
		q.waiting[w.Key] = q.order.PushFront(&queued{Waiter: w, since: woken.since})
		return
	}
	q.waiting[w.Key] = q.order.PushBack(&queued{Waiter: w, since: now})
}

// remove removes an operation, and returns when it was queued, or now if it was not.
func (q *waitQueue) remove(key any, now time.Time) time.Time {
	if woken, found := q.woken[key]; found {
		delete(q.woken, key)
		return woken.since
	}
	if e, found := q.waiting[key]; found {
		delete(q.waiting, key)
		return q.order.Remove(e).(*queued).since
	}
	return now
}

// wake moves operations from the front of the queue to the woken ones until there are
// number woken ones, and returns the Wake functions of the moved operations.
func (q *waitQueue) wake(number int, now time.Time) []func() {
	for key, w := range q.woken {
		if !now.Before(w.expires) {
			delete(q.woken, key)
		}
	}
	var wakes []func()
	for len(q.woken) < number && q.order.Len() > 0 {
		w := q.order.Remove(q.order.Front()).(*queued)
		delete(q.waiting, w.Key)
		w.expires = now.Add(wokenFor)
		q.woken[w.Key] = w
		wakes = append(wakes, w.Wake)
	}
	return wakes
}
