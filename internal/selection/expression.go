// SPDX-License-Identifier: Apache-2.0

package selection

import (
	"fmt"
	"regexp"
	"regexp/syntax"
)

// MaxExpression is the maximum size of a regular expression: its characters and groups, multiplied
// by their repetitions. A short text can compile to hundreds of megabytes.
const MaxExpression = 10_000

// CompileExpression compiles a regular expression whose size is at most limit, and returns its
// size.
func CompileExpression(text string, limit int) (*regexp.Regexp, int, error) {
	size, err := ExpressionSize(text)
	if err != nil {
		return nil, 0, err
	}
	if size > limit {
		return nil, size, fmt.Errorf("its repetitions make it %d in size, of at most %d: repeat less, as in 'a+' in place of 'a{1,1000}'",
			size, limit)
	}
	compiled, err := regexp.Compile(text)
	return compiled, size, err
}

// ExpressionSize returns the size of a regular expression without compiling it.
func ExpressionSize(text string) (int, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return 0, err
	}
	return sizeOf(parsed), nil
}

// sizeOf returns the size of an expression in time linear to the length of its text.
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
