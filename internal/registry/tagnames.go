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

import "slices"

// tagSet is the ordered set of the names in a tag list.
type tagSet struct {
	list  []string
	known map[string]bool // nil as long as the list is ascending
}

func (n *tagSet) len() int { return len(n.list) }

// add adds the names that are new, and reports whether any is.
func (n *tagSet) add(more []string) bool {
	before := len(n.list)
	if n.known == nil && n.ascends(more) { // as the specification requires
		if n.list == nil {
			n.list = more
		} else {
			n.list = append(n.list, more...)
		}
		return len(more) > 0
	}
	if n.known == nil {
		n.known = make(map[string]bool, len(n.list))
		for _, name := range n.list {
			n.known[name] = true
		}
	}
	for _, name := range more {
		if !n.known[name] {
			n.known[name] = true
			n.list = append(n.list, name)
		}
	}
	return len(n.list) > before
}

// ascends reports whether more continue the list in strictly ascending order, so that
// all are new.
func (n *tagSet) ascends(more []string) bool {
	for i, name := range more {
		if i > 0 && name <= more[i-1] || i == 0 && len(n.list) > 0 && name <= n.list[len(n.list)-1] {
			return false
		}
	}
	return true
}

// valid returns the names that are valid tags, and the number of others. The set must
// not be used afterwards.
func (n *tagSet) valid() ([]string, int) {
	all := len(n.list)
	tags := slices.DeleteFunc(n.list, func(name string) bool { return !IsTag(name) })
	if tags == nil {
		tags = []string{}
	}
	return tags, all - len(tags)
}

// IsTag reports whether a tag is valid by the distribution specification:
// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func IsTag(tag string) bool {
	if tag == "" || len(tag) > 128 || tag[0] == '.' || tag[0] == '-' {
		return false
	}
	for i := range len(tag) {
		switch c := tag[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return true
}
