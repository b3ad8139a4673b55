// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// template is a parsed filterTags.extract, in the syntax of regexp's Expand:
// "$1", "${1}", "$name" and "${name}" stand for a group, "$$" for a dollar
// sign, and a "$" that no name follows for itself.
type template struct {
	text  string
	parts []part
}

// part is a literal, or where that is empty, a group.
type part struct {
	literal string
	group   int
}

// compileTemplate parses text. Unlike Expand, which puts nothing in the place
// of a group that is not there, it fails: every tag would have the same key.
func compileTemplate(text string, pattern *regexp.Regexp) (*template, error) {
	t := &template{text: text}
	for rest := text; rest != ""; {
		var literal string
		var found bool
		literal, rest, found = strings.Cut(rest, "$")
		t.addLiteral(literal)
		if !found {
			break
		}
		name, after, ok := cutGroup(rest)
		if !ok {
			t.addLiteral("$")
			rest = strings.TrimPrefix(rest, "$")
			continue
		}
		group := groupIndex(pattern, name)
		if group < 0 {
			return nil, unknownGroup(text, name, pattern)
		}
		t.parts = append(t.parts, part{group: group})
		rest = after
	}
	return t, nil
}

func (t *template) addLiteral(literal string) {
	if literal != "" {
		t.parts = append(t.parts, part{literal: literal})
	}
}

// expand fills in the groups of a match in tag. It allocates only where there
// is more to it than one group.
func (t *template) expand(tag string, match []int) string {
	if len(t.parts) == 1 {
		return t.parts[0].in(tag, match)
	}
	var expanded strings.Builder
	for _, p := range t.parts {
		expanded.WriteString(p.in(tag, match))
	}
	return expanded.String()
}

func (p part) in(tag string, match []int) string {
	if p.literal != "" {
		return p.literal
	}
	start, end := match[2*p.group], match[2*p.group+1]
	if start < 0 { // an optional group that took no part in the match
		return ""
	}
	return tag[start:end]
}

// cutGroup cuts the name of a group off the text that follows a "$". It returns
// the name, the rest, and whether there is a name.
func cutGroup(text string) (string, string, bool) {
	text, braced := strings.CutPrefix(text, "{")
	end := strings.IndexFunc(text, func(r rune) bool { return !isNameRune(r) })
	if end < 0 {
		end = len(text)
	}
	name, rest := text[:end], text[end:]
	closed := true
	if braced {
		rest, closed = strings.CutPrefix(rest, "}")
	}
	return name, rest, closed && name != ""
}

func isNameRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }

// groupIndex returns the index of the group that Expand takes a name for, and
// -1 where the pattern has no such group.
func groupIndex(pattern *regexp.Regexp, name string) int {
	// Expand takes up to nine digits that no zero leads for a number, even
	// where a group has them for a name.
	const maxDigits = 9
	number, err := strconv.Atoi(name)
	if err != nil || len(name) > maxDigits || name[0] == '0' && name != "0" {
		return pattern.SubexpIndex(name)
	}
	if number > pattern.NumSubexp() {
		return -1
	}
	return number
}

func unknownGroup(text, name string, pattern *regexp.Regexp) error {
	fix := fmt.Sprintf("refer to a group of the pattern (%s), or add that group to it", strings.Join(groupNames(pattern), ", "))
	if known := knownPrefix(pattern, name); known != "" {
		fix = fmt.Sprintf("write \"${%s}%s\" where %q follows the group %q", known, name[len(known):], name[len(known):], known)
	}
	return &InvalidError{Field: fieldExtract, Value: text,
		Problem: fmt.Sprintf("spec.filterTags.pattern %q has no group %q: %s", pattern, name, fix)}
}

// knownPrefix returns the longest beginning of a name that is a group, or
// nothing: Expand takes as many letters for a name as it can, so that "$1x"
// means a group "1x".
func knownPrefix(pattern *regexp.Regexp, name string) string {
	for end := len(name) - 1; end > 0; end-- {
		if groupIndex(pattern, name[:end]) >= 0 {
			return name[:end]
		}
	}
	return ""
}

// groupNames lists what an extract can refer to: "$0", "$1", "$name" …
func groupNames(pattern *regexp.Regexp) []string {
	var names []string
	for i, name := range pattern.SubexpNames() {
		if name == "" {
			name = strconv.Itoa(i)
		}
		names = append(names, "$"+name)
	}
	return names
}
