// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"1.0.0 is fine, ≥ and … too": "1.0.0 is fine, ≥ and … too",
		"\x1b[31mred\x1b[0m":         `\x1b[31mred\x1b[0m`,
		"bell\a, return\r, feed\n":   `bell\a, return\r, feed\n`,
		"C1 \u009b2J":                `C1 \u009b2J`,
		"\u202etxt":                  `\u202etxt`,
		"bytes \xff\x9b":             `bytes \xff\x9b`,
		"\x7f":                       `\x7f`,
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q): got %q, want %q", in, got, want)
		}
	}
}

func TestCleanJSONStaysTheSameJSON(t *testing.T) {
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

func TestCut(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Cut("abcdef", 4)).To(Equal("abc…"))
	g.Expect(Cut("abcdef", 6)).To(Equal("abcdef"))
	g.Expect(Cut("abcdef", 0)).To(Equal("abcdef"), "0 is any width")
	g.Expect(Cut("äöüßx", 4)).To(Equal("äöü…"), "letters are counted, and not bytes")
}

func TestWrap(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Wrap("one two three", 7)).To(Equal([]string{"one two", "three"}))
	g.Expect(Wrap("incomprehensible no", 7)).To(Equal([]string{"incomprehensible", "no"}))
	g.Expect(Wrap("one two three", 0)).To(Equal([]string{"one two three"}))
}

func TestNobodyLooksAtABuffer(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	g.Expect(StyleOf(&out, ColorAuto, os.Getenv)).To(Equal(Style{}))
	g.Expect(StyleOf(&out, ColorAlways, os.Getenv)).To(Equal(Style{Color: true}), "who insists gets colours")
	p := NewProgress(&out, "app", os.Getenv)
	p.Show(5, 5000)
	p.End()
	g.Expect(out.String()).To(BeEmpty())
}

func TestProgressVanishes(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	p := &Progress{out: &out, width: 30, what: "registry.example.com/app"}
	p.Show(1, 1000)
	g.Expect(out.String()).To(BeEmpty(), "one page is no long listing")
	p.Show(2, 2000)
	g.Expect(out.String()).To(Equal("\r\x1b[Klisting registry.example.com…"), "it fits into the line")
	out.Reset()
	p.End()
	g.Expect(out.String()).To(Equal("\r\x1b[K"))
	out.Reset()
	p.End()
	g.Expect(out.String()).To(BeEmpty(), "what vanished is not erased again")
}
