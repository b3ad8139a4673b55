// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// MaxExpression is how large a regular expression may be: in characters and
// groups, with those counted again that repeat. A short text can be a huge
// expression, of hundreds of megabytes.
const MaxExpression = 10_000

// CompileExpression compiles a regular expression of at most limit in size, and
// returns its size.
func CompileExpression(text string, limit int) (*regexp.Regexp, int, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, 0, err
	}
	size := sizeOf(parsed)
	if size > limit {
		return nil, size, fmt.Errorf("its repetitions make it %d in size, of at most %d: repeat less, as in 'a+' in place of 'a{1,1000}'",
			size, limit)
	}
	compiled, err := regexp.Compile(text)
	return compiled, size, err
}

// sizeOf returns the size of an expression. It takes time by the length of its
// text, as nothing that repeats is looked at again.
func sizeOf(expression *syntax.Regexp) int {
	size := 1
	if expression.Op == syntax.OpLiteral {
		size = len(expression.Rune)
	}
	for _, part := range expression.Sub {
		size += sizeOf(part)
	}
	if expression.Op == syntax.OpRepeat {
		size *= max(expression.Min, expression.Max, 1)
	}
	return size
}
