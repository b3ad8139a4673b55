// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"slices"
	"strings"
)

// texts is the order of an alphabetical policy: the bytes of the key.
type texts struct {
	unbounded[string]
	plain[string]
	direction direction
}

func (texts) read(key string, value *string) string {
	*value = key
	return ""
}

func (t texts) compare(a, b *string) int { return t.direction.of(strings.Compare(*a, *b)) }

func (texts) unreadable() Cause { return "" } // every text can be read

func (t texts) better() string { return t.direction.text("comes after", "comes before") }

// textEngine is an engine with a shortcut.
type textEngine struct {
	engine[string, texts]
}

func (e *textEngine) best(tags []string) (Choice, bool) {
	if e.filter != nil || len(tags) == 0 {
		return e.engine.best(tags)
	}
	tag := e.extreme(tags)
	if IsReferrerTag(tag) {
		return e.engine.best(tags)
	}
	return Choice{Tag: tag, Key: tag}, true
}

// extreme returns the best of the tags where there is no filter. That needs no
// keys, as the tags themselves are compared: the greatest or the least of them it is,
// unless that is no image's.
func (e *textEngine) extreme(tags []string) string {
	if e.order.direction < 0 {
		return slices.Min(tags)
	}
	return slices.Max(tags)
}

// textFold is an engineFold with the same shortcut.
type textFold struct {
	engineFold[string, texts]
	engine *textEngine
}

func (e *textEngine) fold() fold {
	return &textFold{engineFold[string, texts]{engine: &e.engine}, e}
}

func (f *textFold) add(tags []string) {
	if f.engine.filter == nil && len(tags) > 1 {
		if tag := f.engine.extreme(tags); !IsReferrerTag(tag) {
			tags = []string{tag}
		}
	}
	f.engineFold.add(tags)
}
