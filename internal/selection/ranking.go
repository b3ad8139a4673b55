// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"iter"
	"sort"
	"sync"
)

// Accumulator selects from tags that are added in parts, so that the caller can pause in between.
// It is not safe for concurrent use.
type Accumulator interface {
	// Add adds tags.
	Add(tags []string)
	// Best returns what Select returns for all added tags.
	Best() (Choice, bool)
}

// accumulator keeps the best candidate of the added tags.
type accumulator[K any, O comparator[K]] struct {
	engine *engine[K, O]
	best   candidate[K]
	found  bool
	// pending holds candidates that rank above best but may not be accepted.
	pending []candidate[K]
	// next is the reused buffer into which each tag is read.
	next candidate[K]
}

// buffers pools the pending candidates of accumulators, as *[]candidate[K]. They would be a
// quarter of the memory that the controller allocates for a new policy.
var buffers sync.Pool

func (e *engine[K, O]) NewAccumulator() Accumulator { return &accumulator[K, O]{engine: e} }

func (a *accumulator[K, O]) Add(tags []string) {
	if a.pending == nil {
		if buffer, ok := buffers.Get().(*[]candidate[K]); ok {
			a.pending = *buffer
		}
	}
	for _, tag := range tags {
		if !a.engine.read(tag, &a.next) || a.found && a.engine.rank(&a.next, &a.best) <= 0 {
			continue
		}
		if a.pending = append(a.pending, a.next); len(a.pending) > a.engine.batch {
			a.checkPending()
		}
	}
}

func (a *accumulator[K, O]) Best() (Choice, bool) {
	a.checkPending()
	if cap(a.pending) > 0 && a.engine.batch > 0 {
		buffer := a.pending
		buffers.Put(&buffer)
		a.pending = nil
	}
	return a.engine.choice(&a.best), a.found
}

// checkPending checks the pending candidates, best first, until one is accepted. That is usually
// the first one, so the others are only sorted if it is not.
func (a *accumulator[K, O]) checkPending() {
	for i := range a.pending {
		switch i {
		case 0:
			a.engine.bestFirst(a.pending)
		case 1:
			a.engine.sort(a.pending[1:])
		}
		if a.engine.order.accepts(&a.pending[i].value) {
			a.best, a.found = a.pending[i], true
			break
		}
	}
	clear(a.pending) // a pooled buffer must not keep tags in memory
	a.pending = a.pending[:0]
}

// bestFirst swaps the best candidate with the first one.
func (e *engine[K, O]) bestFirst(candidates []candidate[K]) {
	best := 0
	for i := range candidates {
		if e.rank(&candidates[i], &candidates[best]) > 0 {
			best = i
		}
	}
	candidates[0], candidates[best] = candidates[best], candidates[0]
}

// sort sorts candidates, best first.
func (e *engine[K, O]) sort(candidates []candidate[K]) {
	if len(candidates) < 2 {
		return
	}
	// slices.SortFunc would allocate memory for both candidates of every comparison
	sort.Slice(candidates, func(i, j int) bool { return e.rank(&candidates[i], &candidates[j]) > 0 })
}

// Select returns the latest of the tags, or false if none is a candidate. It takes one pass, and
// checks the range only for versions that rank above the best one so far.
func (r *Rule) Select(tags []string) (Choice, bool) {
	a := r.NewAccumulator()
	a.Add(tags)
	return a.Best()
}

// Ranking returns the candidates, best first and without duplicates. Producing the first one costs
// as much as Select; the others are sorted when the caller continues. The sequence can be reused.
func (r *Rule) Ranking(tags []string) iter.Seq[Choice] {
	return func(yield func(Choice) bool) {
		best, found := r.Select(tags)
		if found && yield(best) {
			r.yieldRest(best, tags, yield)
		}
	}
}

// yieldRest yields all candidates except the best one, in order.
func (e *engine[K, O]) yieldRest(best Choice, tags []string, yield func(Choice) bool) {
	var candidates []candidate[K]
	var c candidate[K]
	for _, tag := range tags {
		if tag != best.Tag && e.read(tag, &c) {
			candidates = append(candidates, c)
		}
	}
	e.sort(candidates)
	for i := range candidates {
		c := &candidates[i]
		duplicate := i > 0 && c.tag == candidates[i-1].tag
		if !duplicate && e.order.accepts(&c.value) && !yield(e.choice(c)) {
			return
		}
	}
}
