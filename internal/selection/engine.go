// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"fmt"
)

// comparator parses and compares keys of one kind.
type comparator[K any] interface {
	// read parses a key into value, overwriting it, and returns a rejection if the key is invalid.
	// It does not allocate for valid keys.
	read(key string, value *K) rejection
	// compare returns a positive number if a is better than b, and zero if the order is decided
	// by the tags.
	compare(a, b *K) int
	// accepts reports whether a value may be selected.
	accepts(value *K) bool
	// rejection explains why accepts returns false.
	rejection(value *K) rejection
	// text returns the key as shown to users.
	text(key string, value *K) string
	// better returns the text between the better of two keys and the other, such as
	// "is a higher version than".
	better() string
}

// rejection explains why a tag is rejected, as in a Verdict. It is zero for a candidate.
type rejection struct {
	cause  Cause
	reason string
}

var (
	_ comparator[version] = byVersion{}
	_ comparator[number]  = byNumber{}
	_ comparator[string]  = byText{}
	_ comparator[string]  = byNatural{}
	_ comparator[int64]   = byTime{}
)

// acceptAll implements the methods of a comparator that accepts every value.
type acceptAll[K any] struct{}

func (acceptAll[K]) accepts(*K) bool        { return true }
func (acceptAll[K]) rejection(*K) rejection { return rejection{} }

// plainKey is embedded by comparators whose keys are shown as they are in the tag.
type plainKey[K any] struct{}

func (plainKey[K]) text(key string, _ *K) string { return key }

// engine selects and ranks tags by a filter and a comparator.
type engine[K any, O comparator[K]] struct {
	filter *filter
	order  O
	// batch is the number of candidates that an Accumulator collects before it checks, best first,
	// whether they are accepted.
	batch int
}

// candidate is a tag with a valid key. The comparator may still reject its value.
type candidate[K any] struct {
	tag   string
	key   string
	value K
}

// read fills in c from a tag and returns false if the filter or the key rejects the tag. The caller
// reuses c; returning it would allocate memory for every tag.
func (e *engine[K, O]) read(tag string, c *candidate[K]) bool {
	key, matches := e.filter.key(tag)
	if !matches {
		return false
	}
	c.tag, c.key = tag, key
	return e.order.read(key, &c.value) == rejection{}
}

func (e *engine[K, O]) choice(c *candidate[K]) Choice {
	return Choice{Tag: c.tag, Key: e.order.text(c.key, &c.value)}
}

// rank is the total order: by key, then by the bytes of the tags.
func (e *engine[K, O]) rank(a, b *candidate[K]) int {
	if c := e.order.compare(&a.value, &b.value); c != 0 {
		return c
	}
	return cmp.Compare(a.tag, b.tag)
}

func (e *engine[K, O]) Evaluate(tag string) Verdict {
	key, matches := e.filter.key(tag)
	if !matches {
		rejected := e.filter.rejection(tag)
		return Verdict{Tag: tag, Reason: rejected.reason, Cause: rejected.cause}
	}
	var value K
	rejected := e.order.read(key, &value)
	shown := key
	if rejected == (rejection{}) {
		shown = e.order.text(key, &value)
		if !e.order.accepts(&value) {
			rejected = e.order.rejection(&value)
		}
	}
	if rejected.reason != "" && key != tag {
		rejected.reason = fmt.Sprintf("has the key %q, which %s", key, rejected.reason)
	}
	return Verdict{Tag: tag, Key: shown, Reason: rejected.reason, Cause: rejected.cause}
}

func (e *engine[K, O]) MatchesFilter(tag string) bool {
	_, considered := e.filter.key(tag)
	return considered
}

func (e *engine[K, O]) withoutFilter() ranker {
	if e.filter == nil || e.filter.extract != "" {
		return e
	}
	unfiltered := *e
	unfiltered.filter = nil
	return &unfiltered
}

func (e *engine[K, O]) Compare(a, b string) int {
	var left, right candidate[K]
	leftOK, rightOK := e.accept(a, &left), e.accept(b, &right)
	switch {
	case leftOK && rightOK:
		return e.rank(&left, &right)
	case leftOK:
		return 1
	case rightOK:
		return -1
	default:
		return cmp.Compare(a, b)
	}
}

func (e *engine[K, O]) Precedence(a, b string) string {
	var left, right candidate[K]
	if !e.accept(a, &left) || !e.accept(b, &right) || e.order.compare(&left.value, &right.value) == 0 {
		return fmt.Sprintf("they compare as equal, and %q is greater than %q in byte order", a, b)
	}
	return fmt.Sprintf("%q %s %q", e.choice(&left).Key, e.order.better(), e.choice(&right).Key)
}

// accept is like read, but also checks whether the value may be selected.
func (e *engine[K, O]) accept(tag string, c *candidate[K]) bool {
	return e.read(tag, c) && e.order.accepts(&c.value)
}
