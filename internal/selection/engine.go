// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"cmp"
	"fmt"
)

// comparator reads keys of one kind and knows which of two is the better one.
type comparator[K any] interface {
	// read parses a key into a value, whatever that held before, and returns why
	// it cannot. It allocates nothing for an ordinary key.
	read(key string, value *K) rejection
	// compare returns a positive number where a is better than b, and zero
	// where only the tags themselves can tell.
	compare(a, b *K) int
	// admits reports whether a value may be selected.
	admits(value *K) bool
	// refusal says why admits does not.
	refusal(value *K) rejection
	// text is what of a value's key people are shown.
	text(key string, value *K) string
	// better stands between the better of two keys and the other one, such as
	// "is a higher version than".
	better() string
}

// rejection says why a tag is no candidate, as in a Verdict. It is zero for one that is.
type rejection struct {
	cause  Cause
	reason string
}

var (
	_ comparator[version] = byVersion{}
	_ comparator[number]  = byNumber{}
	_ comparator[string]  = byText{}
	_ comparator[int64]   = byTime{}
)

// acceptAll is the part of an order that admits every value.
type acceptAll[K any] struct{}

func (acceptAll[K]) admits(*K) bool       { return true }
func (acceptAll[K]) refusal(*K) rejection { return rejection{} }

// plain is the part of an order whose keys are shown as they are.
type plain[K any] struct{}

func (plain[K]) text(key string, _ *K) string { return key }

// engine is a filter and an order put to work.
type engine[K any, O comparator[K]] struct {
	filter *filter
	order  O
	// batch is how many candidates a Selector collects before it asks, best first,
	// whether they are admitted.
	batch int
}

// candidate is a tag whose key could be read. Whether the order admits it is
// yet to be asked.
type candidate[K any] struct {
	tag   string
	key   string
	value K
}

// read makes a candidate of a tag, and returns false where the filter or the
// key rules it out. It fills in a place that the caller uses again and again,
// because one that is returned would be allocated for every tag.
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

func (e *engine[K, O]) Judge(tag string) Verdict {
	key, matches := e.filter.key(tag)
	if !matches {
		why := e.filter.refusal(tag)
		return Verdict{Tag: tag, Reason: why.reason, Cause: why.cause}
	}
	var value K
	why := e.order.read(key, &value)
	shown := key
	if why == (rejection{}) {
		shown = e.order.text(key, &value)
		if !e.order.admits(&value) {
			why = e.order.refusal(&value)
		}
	}
	if why.reason != "" && key != tag {
		why.reason = fmt.Sprintf("has the key %q, which %s", key, why.reason)
	}
	return Verdict{Tag: tag, Key: shown, Reason: why.reason, Cause: why.cause}
}

func (e *engine[K, O]) Considers(tag string) bool {
	_, considered := e.filter.key(tag)
	return considered
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

// accept is read for a tag that may be selected.
func (e *engine[K, O]) accept(tag string, c *candidate[K]) bool {
	return e.read(tag, c) && e.order.admits(&c.value)
}
