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

package registry

import (
	"container/list"
	"time"

	"github.com/fluxcd/image-reflector-controller/internal/image"
)

// Caller is somebody who wants to be told when it is their turn.
type Caller struct {
	// Key tells callers apart. It must be comparable.
	Key any
	// Purpose is what the caller wants to do, for the error where it can't.
	Purpose Purpose
	// Wake is called when it is likely to be the caller's turn. It must not
	// block. A caller without one is not told.
	Wake func()
	// Proxy names the caller's own proxy, "" for none.
	Proxy string
}

// Purpose is what somebody wants to ask a registry for.
type Purpose struct{ verb, tag, digest string }

// ToListTags is the purpose of a call of List.
func ToListTags() Purpose { return Purpose{verb: opListTags} }

// ToGetDigest is the purpose of a call of Digest.
func ToGetDigest(tag string) Purpose { return Purpose{verb: opDigest, tag: tag} }

// ToReadImage is the purpose of calls of Manifest and Blob.
func ToReadImage(reference string) Purpose {
	if image.IsDigest(reference) {
		return Purpose{verb: opManifest, digest: reference}
	}
	return Purpose{verb: opManifest, tag: reference}
}

// ToVerify is the purpose of calls that read signatures.
func ToVerify(digest string) Purpose { return Purpose{verb: opVerify, digest: digest} }

// ToLookFor is the purpose of a call of Exists.
func ToLookFor(tag string) Purpose { return Purpose{verb: opExists, tag: tag} }

// comingTime is how long somebody who was called is waited for.
const comingTime = time.Second

// line is the callers who wait, the first one first. Nothing is kept free for
// them: who is called and comes too late goes back to the front.
type line struct {
	order  list.List // of *waiter
	places map[any]*list.Element
	coming map[any]called
}

// waiter is a caller who waits.
type waiter struct {
	caller Caller
	since  time.Time
}

// called is a caller who was called and has not come yet.
type called struct {
	since time.Time
	until time.Time // who did not come by then may have gone
}

// newLine returns a line of nobody.
func newLine() line {
	return line{places: map[any]*list.Element{}, coming: map[any]called{}}
}

// join makes a caller wait, in the place that they have or had.
func (l *line) join(caller Caller, now time.Time) {
	if _, waits := l.places[caller.Key]; waits {
		return
	}
	w := &waiter{caller: caller, since: now}
	if before, was := l.coming[caller.Key]; was {
		w.since = before.since
		delete(l.coming, caller.Key)
		l.places[caller.Key] = l.order.PushFront(w)
		return
	}
	l.places[caller.Key] = l.order.PushBack(w)
}

// quit ends a caller's waiting, and returns since when they waited.
func (l *line) quit(key any, now time.Time) time.Time {
	if before, was := l.coming[key]; was {
		delete(l.coming, key)
		return before.since
	}
	e, waits := l.places[key]
	if !waits {
		return now
	}
	l.order.Remove(e)
	delete(l.places, key)
	return e.Value.(*waiter).since
}

// call takes those who wait the longest off the line, until some number are on
// their way, and returns how to wake them.
func (l *line) call(number int, now time.Time) []func() {
	for key, c := range l.coming {
		if !now.Before(c.until) {
			delete(l.coming, key)
		}
	}
	var wakes []func()
	for len(l.coming) < number && l.order.Len() > 0 {
		w := l.order.Remove(l.order.Front()).(*waiter)
		delete(l.places, w.caller.Key)
		l.coming[w.caller.Key] = called{since: w.since, until: now.Add(comingTime)}
		wakes = append(wakes, w.caller.Wake)
	}
	return wakes
}
