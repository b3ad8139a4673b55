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

package scan

import (
	"fmt"
	"regexp"
)

// Exclusions says which tags are left out of a scan's result.
type Exclusions struct {
	patterns []*regexp.Regexp
}

// CompileExclusions compiles an exclusion list. The error names the item that
// is no regular expression.
func CompileExclusions(list []string) (Exclusions, error) {
	patterns := make([]*regexp.Regexp, len(list))
	for i, item := range list {
		pattern, err := regexp.Compile(item)
		if err != nil {
			return Exclusions{}, fmt.Errorf("invalid spec.exclusionList[%d] %q: correct the regular expression: %w", i, item, err)
		}
		patterns[i] = pattern
	}
	return Exclusions{patterns: patterns}, nil
}

// Exclude reports whether the tag is left out.
func (e Exclusions) Exclude(tag string) bool {
	_, excluded := e.Match(tag)
	return excluded
}

// Match returns the index of the first item of the list by which the tag is
// left out, and whether there is one.
func (e Exclusions) Match(tag string) (int, bool) {
	for i, pattern := range e.patterns {
		if pattern.MatchString(tag) {
			return i, true
		}
	}
	return 0, false
}

// Filter returns the tags that are not left out, in their order.
func (e Exclusions) Filter(tags []string) []string {
	kept := make([]string, 0, len(tags))
	for _, tag := range tags {
		if !e.Exclude(tag) {
			kept = append(kept, tag)
		}
	}
	return kept
}
