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

// tagSet is the distinct names in the pages of a tag list, in their order.
type tagSet struct {
	list  []string
	known map[string]bool // nil as long as the list ascends
}

func (n *tagSet) len() int { return len(n.list) }

// add adds the names that are new, and reports whether any is.
func (n *tagSet) add(more []string) bool {
	before := len(n.list)
	if n.known == nil && n.ascends(more) { // as the specification has it
		if n.list == nil {
			n.list = more
		} else {
			n.list = append(n.list, more...)
		}
		return len(more) > 0
	}
	n.index()
	for _, name := range more {
		if !n.known[name] {
			n.known[name] = true
			n.list = append(n.list, name)
		}
	}
	return len(n.list) > before
}

// ascends reports whether more go on in ascending order, so that all are new.
func (n *tagSet) ascends(more []string) bool {
	for i, name := range more {
		switch {
		case i > 0:
			if name <= more[i-1] {
				return false
			}
		case len(n.list) > 0 && name <= n.list[len(n.list)-1]:
			return false
		}
	}
	return true
}

func (n *tagSet) index() {
	if n.known != nil {
		return
	}
	n.known = make(map[string]bool, len(n.list))
	for _, name := range n.list {
		n.known[name] = true
	}
}

// valid returns the names that tags can have, and the number of others. It ends
// the use of n.
func (n *tagSet) valid() ([]string, int) {
	all := len(n.list)
	tags := slices.DeleteFunc(n.list, func(name string) bool { return !isTag(name) })
	if tags == nil {
		tags = []string{}
	}
	return tags, all - len(tags)
}

// IsTag reports whether a tag can have that name. Lists of tags are without
// those that can't.
func IsTag(name string) bool { return isTag(name) }

// maxTag is how long a tag can be.
const maxTag = 128

// isTag reports whether a tag has the form that the distribution
// specification gives it: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func isTag(tag string) bool {
	if tag == "" || len(tag) > maxTag || tag[0] == '.' || tag[0] == '-' {
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
