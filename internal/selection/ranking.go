// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"container/heap"
	"iter"
)

// Ranking yields the candidates, best first and each once. The first is
// Select's answer and costs no more than that; what is not asked for is not
// put in order. The sequence can be used again.
func (r *Rule) Ranking(tags []string) iter.Seq[Choice] {
	return func(yield func(Choice) bool) {
		best, found := r.best(tags)
		if found && yield(best) {
			r.others(best, tags)(yield)
		}
	}
}

// others yields the candidates but the best one, in order.
func (e *engine[K, O]) others(best Choice, tags []string) iter.Seq[Choice] {
	return func(yield func(Choice) bool) {
		queue := e.queue(tags)
		previous := best.Tag
		for queue.Len() > 0 {
			c := heap.Pop(queue).(*candidate[K])
			// A tag that is listed twice comes out twice in a row.
			if c.tag == previous || !e.order.admits(&c.value) {
				continue
			}
			if previous = c.tag; !yield(e.choice(c)) {
				return
			}
		}
	}
}

// queue returns the candidates as a heap with the best one on top. Whether
// they are admitted is asked when they come out.
func (e *engine[K, O]) queue(tags []string) *queue[K, O] {
	q := &queue[K, O]{engine: e, candidates: make([]candidate[K], 0, len(tags))}
	var c candidate[K]
	for _, tag := range tags {
		if e.read(tag, &c) {
			q.candidates = append(q.candidates, c)
		}
	}
	heap.Init(q)
	return q
}

// queue is a heap of candidates for container/heap.
type queue[K any, O order[K]] struct {
	engine     *engine[K, O]
	candidates []candidate[K]
}

func (q *queue[K, O]) Len() int { return len(q.candidates) }

func (q *queue[K, O]) Less(i, j int) bool {
	return q.engine.rank(&q.candidates[i], &q.candidates[j]) > 0
}

func (q *queue[K, O]) Swap(i, j int) {
	q.candidates[i], q.candidates[j] = q.candidates[j], q.candidates[i]
}

// Push completes heap.Interface. Nothing calls it: a queue only shrinks.
func (q *queue[K, O]) Push(c any) { q.candidates = append(q.candidates, *c.(*candidate[K])) }

// Pop takes off the last candidate. A pointer to it saves a copy, and stays
// good because its place is not used again.
func (q *queue[K, O]) Pop() any {
	last := len(q.candidates) - 1
	c := &q.candidates[last]
	q.candidates = q.candidates[:last]
	return c
}
