// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Clean escapes the unprintable characters of untrusted text, as in Go: escape sequences,
// line feeds, and marks of the text direction.
func Clean(s string) string {
	if strings.IndexFunc(s, isUnprintable) < 0 && utf8.ValidString(s) {
		return s
	}
	var clean strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			clean.WriteString(`\x` + strconv.FormatUint(uint64(s[i])|0x100, 16)[1:])
		case isUnprintable(r):
			quoted := strconv.QuoteRuneToASCII(r)
			clean.WriteString(quoted[1 : len(quoted)-1])
		default:
			clean.WriteRune(r)
		}
	}
	return clean.String()
}

func isUnprintable(r rune) bool { return !unicode.IsPrint(r) }

// CleanJSON is Clean for JSON and YAML: it uses the escapes of JSON, and keeps line feeds.
func CleanJSON(s string) string {
	var clean strings.Builder
	for _, r := range s {
		if r != '\n' && isUnprintable(r) && r <= 0xffff {
			clean.WriteString(`\u` + strconv.FormatInt(int64(r)|0x10000, 16)[1:])
			continue
		}
		clean.WriteRune(r)
	}
	return clean.String()
}

// Cut truncates a clean line to a width in columns, 0 for any, and appends an ellipsis.
func Cut(line string, width int) string { return text.Snip(line, width, "…") }

// Wrap breaks a clean text, which may have colors, into lines of at most a width in columns,
// or leaves it unchanged if width is 0. It also breaks words that are wider.
func Wrap(line string, width int) []string {
	if width <= 0 {
		return []string{line}
	}
	return strings.Split(text.WrapSoft(line, width), "\n")
}
