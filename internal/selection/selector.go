// SPDX-License-Identifier: Apache-2.0

package selection

// Selector is Select for callers who show the tags a part at a time, because they
// may want to stop in between. The answer is that of Select for all the tags that
// were added. It is not safe for concurrent use.
type Selector struct{ fold fold }

// fold is what the kinds of policies have in common here.
type fold interface {
	add(tags []string)
	choice() (Choice, bool)
}

// Selector returns a Selector without tags.
func (r *Rule) Selector() *Selector { return &Selector{r.fold()} }

// Add adds tags.
func (s *Selector) Add(tags []string) { s.fold.add(tags) }

// Best returns the latest of the tags that were added, and false where none is
// a candidate.
func (s *Selector) Best() (Choice, bool) { return s.fold.choice() }

// engineFold is the best of the tags that an engine has seen.
type engineFold[K any, O order[K]] struct {
	engine *engine[K, O]
	best   candidate[K]
	found  bool
	// next is the place that each tag is read into.
	next candidate[K]
}

func (e *engine[K, O]) fold() fold { return &engineFold[K, O]{engine: e} }

func (f *engineFold[K, O]) add(tags []string) {
	e := f.engine
	for _, tag := range tags {
		if !e.read(tag, &f.next) || f.found && e.rank(&f.next, &f.best) <= 0 || !e.order.admits(&f.next.value) {
			continue
		}
		f.best, f.found = f.next, true
	}
}

func (f *engineFold[K, O]) choice() (Choice, bool) { return f.engine.choice(&f.best), f.found }
