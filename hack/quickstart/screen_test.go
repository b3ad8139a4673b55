// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

var rows = []row{
	{kind: "ImageRepository", name: "a/app", image: "host/app", tag: "2", ready: "True", message: "successful scan"},
	{kind: "ImagePolicy", name: "a/app", image: "host/app", tag: "1.0.0", digest: "sha256:0123456789abcdef0123", ready: "True", message: "Latest\nimage"},
	{kind: "ImagePolicy", name: "a/other", ready: "False", message: "no tag selected"},
}

func TestTables_AlignColumns(t *testing.T) {
	NewWithT(t).Expect(tables(rows, terminal.Style{})).To(Equal([]string{
		"IMAGEREPOSITORY  READY  TAGS  IMAGE     STATUS",
		"a/app            True   2     host/app  successful scan",
		"",
		"IMAGEPOLICY  READY  TAG    DIGEST               IMAGE     STATUS",
		`a/app        True   1.0.0  sha256:0123456789ab  host/app  Latest\nimage`,
		"a/other      False                                        no tag selected",
	}))
}

// newTestScreen returns a screen with a height, 0 for no terminal, and a function that calls do and
// returns the output that it prints.
func newTestScreen(height int) (*screen, func(do func()) string) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.style = func() terminal.Style { return terminal.Style{Width: 80, Height: height} }
	return s, func(do func()) string {
		out.Reset()
		do()
		return out.String()
	}
}

func TestScreen_PrintsChangesWithoutATerminal(t *testing.T) {
	g := NewWithT(t)
	s, printed := newTestScreen(0)
	shown := func(rows ...row) string { return printed(func() { s.show(rows) }) }

	g.Expect(strings.Count(shown(rows...), "\n")).To(Equal(3))
	g.Expect(shown(rows...)).To(BeEmpty(), "nothing has changed")
	moved := rows[1]
	moved.tag = "1.1.0"
	g.Expect(shown(rows[0], moved, rows[2])).To(And(ContainSubstring("ImagePolicy a/app "), ContainSubstring("1.1.0"), Not(ContainSubstring("a/other"))))
	g.Expect(shown(rows[0], moved)).To(ContainSubstring("ImagePolicy a/other  deleted"))
	g.Expect(shown(rows[0], moved, row{kind: "ImagePolicy", name: "a/new"})).To(BeEmpty(), "it is not reconciled yet")
}

func TestScreen_DrawsInPlaceOnATerminal(t *testing.T) {
	g := NewWithT(t)
	s, printed := newTestScreen(24)
	const up = "\x1b[A\r\x1b[K"

	first := printed(func() { s.show(rows) })
	g.Expect(first).To(HavePrefix("\nIMAGEREPOSITORY"))
	height := strings.Count(first, "\n")
	g.Expect(printed(func() { s.show(rows) })).To(HavePrefix(strings.Repeat(up, height)+"\nIMAGEREPOSITORY"), "the previous table is erased")
	g.Expect(printed(func() { s.printLine("hello") })).To(HavePrefix(strings.Repeat(up, height)+"hello\n\nIMAGEREPOSITORY"), "the line is above the table")
	s.end()
	g.Expect(printed(func() { s.printLine("bye") })).To(Equal("bye\n"), "the table is not redrawn")

	s, printed = newTestScreen(5)
	g.Expect(strings.Count(printed(func() { s.show(rows) }), "\n")).To(Equal(4), "the table is truncated to the height")
}
