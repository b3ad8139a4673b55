// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/internal/selection"
)

// Exclusions says which tags are left out of a scan's result. Those that
// selection.IsReferrerTag reports are, whatever the list has.
type Exclusions struct {
	patterns []pattern
}

// pattern is a regular expression. Where all it asks for is how a tag ends, as the
// default does, that is compared, which takes a tenth of the time.
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

// maxExclusions is how large all expressions of a list may be together.
const maxExclusions = 2 * selection.MaxExpression

// CompileExclusions compiles an exclusion list. The error names the item that
// is no regular expression.
func CompileExclusions(list []string) (Exclusions, error) {
	patterns := make([]pattern, len(list))
	left := maxExclusions
	for i, item := range list {
		compiled, size, err := selection.CompileExpression(item, min(left, selection.MaxExpression))
		left -= size
		if err != nil {
			return Exclusions{}, fmt.Errorf("invalid spec.exclusionList[%d] %q: correct the regular expression: %w", i, item, err)
		}
		patterns[i] = pattern{compiled, literalSuffix(item)}
	}
	return Exclusions{patterns: patterns}, nil
}

// Exclude reports whether the tag is left out: it is not one of an image, or an
// item of the list matches.
func (e Exclusions) Exclude(tag string) bool {
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

// AppendRemaining appends the tags that are not left out, in their order.
func (e Exclusions) AppendRemaining(kept, tags []string) []string {
	for _, tag := range tags {
		if !e.Exclude(tag) {
			kept = append(kept, tag)
		}
	}
	return kept
}

// literalSuffix returns what a string ends with exactly when it matches the
// expression, "" where that is not so simple: of `\.sig$`, and with `.*` or `^.*`
// before it. Tags have no line breaks, which are all that `.` does not match.
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
	plain := slices.EqualFunc(parts, []syntax.Op{syntax.OpLiteral, syntax.OpEndText},
		func(part *syntax.Regexp, op syntax.Op) bool { return part.Op == op && part.Flags&syntax.FoldCase == 0 })
	if !plain {
		return ""
	}
	return string(parts[0].Rune)
}
