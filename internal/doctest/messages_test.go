// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// verb is where a format leaves room for what differs.
var verb = regexp.MustCompile(`%[a-zA-Z]`)

// failedTo is how the errors of internal/registry begin, for each of which the
// rest is looked for.
var failedTo = regexp.MustCompile(`failed to (list the tags of|get the digest of|look for|find the credentials for) \S+: `)

// ofRegistry is how those go on that say what kind of server a registry is.
var ofRegistry = regexp.MustCompile(`^registry \S+ `)

// TestMessages looks in the code for the messages that pages quote in blocks
// whose info string is "message": each must be made of one text of the code, or
// of two that follow each other, with anything in place of their verbs. Whether
// the code comes to that message is for the tests of the code.
func TestMessages(t *testing.T) {
	texts, quoted := textsOfCode(t), 0
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			if b.info != "message" {
				continue
			}
			quoted++
			for _, part := range failedTo.Split(strings.TrimSuffix(b.text, "\n"), -1) {
				if !madeOf(texts, part, 2) && !madeOf(texts, ofRegistry.ReplaceAllString(part, ""), 1) {
					t.Errorf("%s:%d quotes a message that the code does not have: %s", p.path, b.line, part)
				}
			}
		}
	}
	if quoted == 0 {
		t.Error("no page quotes a message")
	}
}

// madeOf reports whether a message is made of up to n of the texts.
func madeOf(texts []*regexp.Regexp, message string, n int) bool {
	if message == "" {
		return true
	}
	for _, text := range texts {
		if n == 0 {
			break
		}
		for _, end := range text.FindAllStringIndex(message, 1) {
			if end[1] == len(message) || madeOf(texts, message[end[1]:], n-1) {
				return true
			}
		}
	}
	return false
}

// textsOfCode returns the texts and formats of the code that are long enough to
// be told apart.
func textsOfCode(t *testing.T) []*regexp.Regexp {
	t.Helper()
	var texts []*regexp.Regexp
	visit := func(node ast.Node) bool {
		expr, ok := node.(ast.Expr)
		if !ok {
			return true
		}
		text, constant := constantText(expr)
		if fixed := verb.ReplaceAllString(text, ""); constant && len(fixed) >= 20 && strings.Contains(fixed, " ") {
			texts = append(texts, pattern(text))
		}
		return !constant // the parts of a sum are no texts of their own
	}
	err := filepath.WalkDir(filepath.Join(root(t), "internal"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err == nil {
			ast.Inspect(file, visit)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// constantText returns the text of a literal, or of a sum of literals.
func constantText(expr ast.Expr) (string, bool) {
	switch e := expr.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, e.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		left, ok := constantText(e.X)
		right, also := constantText(e.Y)
		return left + right, e.Op == token.ADD && ok && also
	}
	return "", false
}

// pattern matches what a format may become, at the beginning of a message. A
// verb at its end takes all that follows.
func pattern(format string) *regexp.Regexp {
	parts := verb.Split(format, -1)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(strings.ReplaceAll(parts[i], "%%", "%"))
	}
	expression := "^" + strings.Join(parts, "(?s:.*?)")
	if parts[len(parts)-1] == "" {
		expression += "$"
	}
	return regexp.MustCompile(expression)
}
