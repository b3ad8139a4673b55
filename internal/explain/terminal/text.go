// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes a text from elsewhere harmless: what is not to be seen, such as
// the escape sequences that command a terminal, line feeds, and marks that turn
// the direction of writing, is spelt out.
func Clean(text string) string {
	if strings.IndexFunc(text, hidden) < 0 && utf8.ValidString(text) {
		return text
	}
	var clean strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			clean.WriteString(`\x` + strconv.FormatUint(uint64(text[i])|0x100, 16)[1:])
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

// CleanJSON is Clean for JSON and YAML, whose own line feeds stay: only what
// encoding/json leaves as it is and a terminal may obey is spelt out.
func CleanJSON(text string) string {
	var clean strings.Builder
	for _, r := range text {
		if r != '\n' && hidden(r) && r <= 0xffff {
			clean.WriteString(`\u` + strconv.FormatInt(int64(r)|0x10000, 16)[1:])
			continue
		}
		clean.WriteRune(r)
	}
	return clean.String()
}

// Width returns how many columns a clean text takes.
func Width(text string) int { return utf8.RuneCountInString(text) }

// Cut cuts a clean text to a width, 0 for any, and shows that it did.
func Cut(text string, width int) string {
	if width <= 0 || Width(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// Wrap breaks a clean text into lines of at most a width, 0 for any. A word
// that is longer stays whole.
func Wrap(text string, width int) []string {
	if width <= 0 {
		return []string{text}
	}
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case Width(*last)+1+Width(word) <= width:
			*last += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}
