// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"iter"
	"sort"
	"sync"
)

// Accumulator is Select for callers who show the tags a part at a time, because they
// may want to stop in between. It is not safe for concurrent use.
type Accumulator interface {
	// Add adds tags.
	Add(tags []string)
	// Best returns what Select returns for all the tags that were added.
	Best() (Choice, bool)
}

// accumulator keeps the best candidate of the tags that an engine has seen.
type accumulator[K any, O comparator[K]] struct {
	engine *engine[K, O]
	best   candidate[K]
	found  bool
	// pending are candidates that are better than best, if they are admitted.
	pending []candidate[K]
	// next is the place that each tag is read into.
	next candidate[K]
}

// buffers are *[]candidate[K] for the pending candidates of selectors: they would be a
// quarter of all that the controller allocates for a new policy.
var buffers sync.Pool

func (e *engine[K, O]) Selector() Accumulator { return &accumulator[K, O]{engine: e} }

func (s *accumulator[K, O]) Add(tags []string) {
	if s.pending == nil {
		if buffer, ok := buffers.Get().(*[]candidate[K]); ok {
			s.pending = *buffer
		}
	}
	for _, tag := range tags {
		if !s.engine.read(tag, &s.next) || s.found && s.engine.rank(&s.next, &s.best) <= 0 {
			continue
		}
		if s.pending = append(s.pending, s.next); len(s.pending) > s.engine.batch {
			s.settle()
		}
	}
}

func (s *accumulator[K, O]) Best() (Choice, bool) {
	s.settle()
	if cap(s.pending) > 0 && s.engine.batch > 0 {
		buffer := s.pending
		clear(buffer[:cap(buffer)]) // no tag is held by it
		buffers.Put(&buffer)
		s.pending = nil
	}
	return s.engine.choice(&s.best), s.found
}

// settle asks for the pending candidates, best first and only until one is admitted. That
// is the first one as a rule, so the others are put in order only where it is not.
func (s *accumulator[K, O]) settle() {
	for i := range s.pending {
		switch i {
		case 0:
			s.engine.bestFirst(s.pending)
		case 1:
			s.engine.sort(s.pending[1:])
		}
		if s.engine.order.admits(&s.pending[i].value) {
			s.best, s.found = s.pending[i], true
			break
		}
	}
	s.pending = s.pending[:0]
}

// bestFirst exchanges the first candidate with the best one.
func (e *engine[K, O]) bestFirst(candidates []candidate[K]) {
	best := 0
	for i := range candidates {
		if e.rank(&candidates[i], &candidates[best]) > 0 {
			best = i
		}
	}
	candidates[0], candidates[best] = candidates[best], candidates[0]
}

// sort puts the best candidate first.
func (e *engine[K, O]) sort(candidates []candidate[K]) {
	if len(candidates) < 2 {
		return
	}
	// slices.SortFunc would allocate both candidates of every comparison
	sort.Slice(candidates, func(i, j int) bool { return e.rank(&candidates[i], &candidates[j]) > 0 })
}

// Select returns the latest of the tags, and false where none is a candidate.
// It takes one pass, and asks whether a version is in the range only of those
// that would beat the best so far.
func (r *Rule) Select(tags []string) (Choice, bool) {
	s := r.Selector()
	s.Add(tags)
	return s.Best()
}

// Ranking yields the candidates, best first and each once. The first is
// Select's answer and costs no more than that; the others are put in order
// where they are asked for. The sequence can be used again.
func (r *Rule) Ranking(tags []string) iter.Seq[Choice] {
	return func(yield func(Choice) bool) {
		best, found := r.Select(tags)
		if found && yield(best) {
			r.behind(best, tags, yield)
		}
	}
}

// behind yields the candidates but the best one, in order.
func (e *engine[K, O]) behind(best Choice, tags []string, yield func(Choice) bool) {
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
		listedTwice := i > 0 && c.tag == candidates[i-1].tag
		if !listedTwice && e.order.admits(&c.value) && !yield(e.choice(c)) {
			return
		}
	}
}
