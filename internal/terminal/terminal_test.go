// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestClean_EscapesControlCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"1.0.0 is fine, ≥ and … too": "1.0.0 is fine, ≥ and … too",
		"\x1b[31mred\x1b[0m":         `\x1b[31mred\x1b[0m`,
		"bell\a, return\r, feed\n":   `bell\a, return\r, feed\n`,
		"C1 \u009b2J":                `C1 \u009b2J`,
		"\u202etxt":                  `\u202etxt`,
		"bytes \xff\x9b":             `bytes \xff\x9b`,
		"\x7f":                       `\x7f`,
	} {
		NewWithT(t).Expect(Clean(in)).To(Equal(want), "Clean(%q)", in)
	}
}

func TestCleanJSON_PreservesValues(t *testing.T) {
	g := NewWithT(t)
	in := map[string]string{"a": "\x1b[31m \u009b2J \x7f \u202e ≥ fine"}
	text, err := json.MarshalIndent(in, "", "  ")
	g.Expect(err).NotTo(HaveOccurred())
	clean := CleanJSON(string(text))
	g.Expect(strings.ContainsAny(clean, "\x1b\u009b\x7f\u202e")).To(BeFalse(), "%q", clean)
	var out map[string]string
	g.Expect(json.Unmarshal([]byte(clean), &out)).To(Succeed())
	g.Expect(out).To(Equal(in))
}

func TestCut_FitsWidth(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Cut("abcdef", 4)).To(Equal("abc…"))
	g.Expect(Cut("abcdef", 6)).To(Equal("abcdef"))
	g.Expect(Cut("abcdef", 0)).To(Equal("abcdef"), "0 is any width")
	g.Expect(Cut("äöüßx", 4)).To(Equal("äöü…"), "the width is in columns, not bytes")
	g.Expect(Cut("日本語版", 6)).To(Equal("日本…"), "a wide character takes two columns")
}

func TestWrap_FitsWidth(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Wrap("one two three", 8)).To(HaveExactElements(HavePrefix("one two"), "three"))
	g.Expect(Wrap("1 incomprehensible no", 7)).To(HaveExactElements(HavePrefix("1"), "incompr", "ehensib", "le no"), "a long word is broken")
	g.Expect(Wrap("one two three", 0)).To(Equal([]string{"one two three"}), "0 is any width")
}

func TestStyleTable_AlignsAndCuts(t *testing.T) {
	g := NewWithT(t)
	rows := [][]string{{"TAG", "IMAGE", "STATUS"}, {"1.0.0", "", "fine"}, {"日本", "host/app", ""}}
	g.Expect(Style{}.Table(rows, 2)).To(Equal([]string{
		"TAG    IMAGE     STATUS",
		"1.0.0            fine",
		"日本   host/app",
	}), "without colors and trailing spaces")
	g.Expect(Style{Width: 10, Color: true}.Table(rows, 2)).To(Equal([]string{
		"\x1b[1mTAG    IM…\x1b[0m",
		"1.0.0    …",
		"\x1b[32m日本   ho…\x1b[0m",
	}), "titles and the highlighted row have colors, and lines are truncated")
}

func TestStyleOf_BufferIsNotATerminal(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	g.Expect(StyleOf(&out, ColorAuto)).To(Equal(Style{}))
	g.Expect(StyleOf(&out, ColorAlways)).To(Equal(Style{Color: true}), "colors are forced")
	p := NewProgress(&out, "app")
	p.Show(5, 5000)
	p.End()
	g.Expect(out.String()).To(BeEmpty())
}

func TestProgress_IsErasedAtTheEnd(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	p := &Progress{out: &out, width: 30, subject: "registry.example.com/app"}
	p.Show(1, 1000)
	g.Expect(out.String()).To(BeEmpty(), "a single page shows nothing")
	p.Show(2, 2000)
	g.Expect(out.String()).To(Equal("\r\x1b[Klisting registry.example.com…"), "the line fits the width")
	out.Reset()
	p.End()
	g.Expect(out.String()).To(Equal("\r\x1b[K"))
	out.Reset()
	p.End()
	g.Expect(out.String()).To(BeEmpty(), "an erased line is not erased again")
}
