// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Clean returns a text from elsewhere with every character spelt out that is not
// printable: escape sequences, which a terminal obeys, line feeds, and marks of the
// direction of writing.
func Clean(s string) string {
	if strings.IndexFunc(s, hidden) < 0 && utf8.ValidString(s) {
		return s
	}
	var clean strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			clean.WriteString(`\x` + strconv.FormatUint(uint64(s[i])|0x100, 16)[1:])
		case hidden(r):
			quoted := strconv.QuoteRuneToASCII(r)
			clean.WriteString(quoted[1 : len(quoted)-1])
		default:
			clean.WriteRune(r)
		}
	}
	return clean.String()
}

func hidden(r rune) bool { return !unicode.IsPrint(r) }

// CleanJSON is Clean for JSON and YAML, with escapes of JSON. Line feeds stay.
func CleanJSON(s string) string {
	var clean strings.Builder
	for _, r := range s {
		if r != '\n' && hidden(r) && r <= 0xffff {
			clean.WriteString(`\u` + strconv.FormatInt(int64(r)|0x10000, 16)[1:])
			continue
		}
		clean.WriteRune(r)
	}
	return clean.String()
}

// Cut cuts a clean text to a width in columns, 0 for any, and marks the cut.
func Cut(line string, width int) string { return text.Snip(line, width, "…") }

// Wrap breaks a clean text, which may be coloured, into lines of at most a width in
// columns, 0 for any. A word that is wider than that is broken, too.
func Wrap(line string, width int) []string {
	if width <= 0 {
		return []string{line}
	}
	return strings.Split(text.WrapSoft(line, width), "\n")
}
