// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// Exclusions excludes tags from the result of a scan: those that match an item of the list, and all
// tags of referrers, see selection.IsReferrerTag.
type Exclusions struct {
	patterns []pattern
}

// pattern is a regular expression. If it only matches a literal suffix, as the default does, the
// suffix is compared instead, which is ten times faster.
type pattern struct {
	*regexp.Regexp
	suffix string
}

func (p pattern) matches(tag string) bool {
	if p.suffix != "" {
		return strings.HasSuffix(tag, p.suffix)
	}
	return p.MatchString(tag)
}

// maxExclusions is the maximum total size of the expressions of a list.
const maxExclusions = 2 * selection.MaxExpression

// defaultExclusions returns the compiled default list, which most repositories have.
var defaultExclusions = sync.OnceValues(func() (Exclusions, error) { return compileExclusions(defaultList) })

var defaultList = []string{v1.DefaultExclusion}

// CompileExclusions compiles an exclusion list. The error names the invalid item.
func CompileExclusions(list []string) (Exclusions, error) {
	if slices.Equal(list, defaultList) {
		return defaultExclusions()
	}
	return compileExclusions(list)
}

func compileExclusions(list []string) (Exclusions, error) {
	patterns := make([]pattern, len(list))
	remaining := maxExclusions
	for i, item := range list {
		compiled, size, err := selection.CompileExpression(item, min(remaining, selection.MaxExpression))
		remaining -= size
		if err != nil {
			return Exclusions{}, fmt.Errorf("invalid spec.exclusionList[%d] %q: correct the regular expression: %w", i, item, err)
		}
		patterns[i] = pattern{compiled, literalSuffix(item)}
	}
	return Exclusions{patterns: patterns}, nil
}

// Excludes reports whether the tag is excluded.
func (e Exclusions) Excludes(tag string) bool {
	if selection.IsReferrerTag(tag) {
		return true
	}
	_, excluded := e.Match(tag)
	return excluded
}

// Match returns the index of the first item of the list that matches the tag, and
// whether there is one.
func (e Exclusions) Match(tag string) (int, bool) {
	for i, pattern := range e.patterns {
		if pattern.matches(tag) {
			return i, true
		}
	}
	return 0, false
}

// AppendRemaining appends the tags that are not excluded to dst, in their order.
func (e Exclusions) AppendRemaining(dst, tags []string) []string {
	for _, tag := range tags {
		if !e.Excludes(tag) {
			dst = append(dst, tag)
		}
	}
	return dst
}

// literalSuffix returns the suffix that is equivalent to the expression, or "" if there is none. It
// recognizes expressions such as `\.sig$`, `.*\.sig$` and `^.*\.sig$`. Tags contain no line breaks,
// the only characters that `.` does not match.
func literalSuffix(expression string) string {
	parsed, err := syntax.Parse(expression, syntax.Perl)
	if err != nil || parsed.Op != syntax.OpConcat {
		return ""
	}
	parts := parsed.Sub
	if parts[0].Op == syntax.OpBeginText {
		if parts = parts[1:]; parts[0].Op != syntax.OpStar {
			return ""
		}
	}
	if first := parts[0]; first.Op == syntax.OpStar && (first.Sub[0].Op == syntax.OpAnyCharNotNL || first.Sub[0].Op == syntax.OpAnyChar) {
		parts = parts[1:]
	}
	isSuffix := slices.EqualFunc(parts, []syntax.Op{syntax.OpLiteral, syntax.OpEndText},
		func(part *syntax.Regexp, op syntax.Op) bool { return part.Op == op && part.Flags&syntax.FoldCase == 0 })
	if !isSuffix {
		return ""
	}
	return string(parts[0].Rune)
}
