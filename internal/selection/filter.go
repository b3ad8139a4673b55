// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"regexp"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
)

// filter determines which tags are considered, and which part of a tag is its key. A nil filter
// considers all tags of images, with the whole tag as the key.
type filter struct {
	pattern *regexp.Regexp // nil for all tags
	extract string         // template for regexp's Expand, empty for the whole tag
	// excluded holds the tags of spec.exclude, which are never considered.
	excluded map[string]bool
}

// compileFilter returns nil for an empty filter.
func compileFilter(spec *v1.TagFilter, exclude []string) (*filter, error) {
	f, err := compilePattern(spec)
	if err != nil || len(exclude) == 0 {
		return f, err
	}
	if f == nil {
		f = &filter{}
	}
	f.excluded = make(map[string]bool, len(exclude))
	for _, tag := range exclude {
		f.excluded[tag] = true
	}
	return f, nil
}

func compilePattern(spec *v1.TagFilter) (*filter, error) {
	switch {
	case spec == nil, *spec == v1.TagFilter{}:
		return nil, nil
	case spec.Pattern == "":
		return nil, &InvalidError{Field: fieldExtract, Value: spec.Extract,
			Problem: "it refers to the groups of pattern, which is empty: set spec.filterTags.pattern too, or remove extract"}
	}
	pattern, _, err := CompileExpression(spec.Pattern, MaxExpression)
	if err != nil {
		return nil, &InvalidError{Field: fieldPattern, Value: spec.Pattern,
			Problem: fmt.Sprintf("%v: correct the expression, which is in RE2 syntax", err)}
	}
	if err := checkExtract(spec.Extract, pattern); err != nil {
		return nil, err
	}
	return &filter{pattern: pattern, extract: spec.Extract}, nil
}

// key returns the key of a tag, or false if the tag is a referrer tag, excluded, or does not match
// the pattern. If the pattern matches more than once, the first match counts.
func (f *filter) key(tag string) (string, bool) {
	switch {
	case IsReferrerTag(tag):
		return "", false
	case f == nil:
		return tag, true
	case f.excluded[tag]:
		return "", false
	case f.pattern == nil:
		return tag, true
	case f.extract == "":
		return tag, f.pattern.MatchString(tag)
	}
	match := f.pattern.FindStringSubmatchIndex(tag)
	if match == nil {
		return "", false
	}
	return string(f.pattern.ExpandString(nil, f.extract, tag, match)), true
}

// rejection explains why key returned false.
func (f *filter) rejection(tag string) rejection {
	if IsReferrerTag(tag) {
		return rejection{CauseReferrer, referrerReason}
	}
	if f.excluded[tag] {
		return rejection{CauseExcluded, "is held back by spec.exclude"}
	}
	return rejection{CausePattern, fmt.Sprintf("does not match filterTags.pattern %q", f.pattern)}
}

// text describes the filter, as the text after the description of the policy.
func (f *filter) text() string {
	switch {
	case f == nil, f.pattern == nil:
		return ""
	case f.extract == "":
		return fmt.Sprintf(", of the tags that match %q", f.pattern)
	default:
		return fmt.Sprintf(", of the tags that match %q, compared by %q", f.pattern, f.extract)
	}
}
