// SPDX-License-Identifier: Apache-2.0

package view

import (
	"bytes"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

var rows = []Row{
	{Kind: "ImageRepository", Name: "a/app", Image: "host/app", Tag: "2", Ready: "True", Message: "successful scan"},
	{Kind: "ImagePolicy", Name: "a/app", Image: "host/app", Tag: "1.0.0", Digest: "sha256:0123456789abcdef0123", Ready: "True", Message: "Latest\nimage"},
	{Kind: "ImagePolicy", Name: "a/other", Ready: "False", Message: "no tag selected"},
}

func TestTable(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Table(rows, 0)).To(Equal([]string{
		"IMAGEREPOSITORY  READY  TAGS  IMAGE     STATUS",
		"a/app            True   2     host/app  successful scan",
		"",
		"IMAGEPOLICY  READY  TAG    DIGEST               IMAGE     STATUS",
		"a/app        True   1.0.0  sha256:0123456789ab  host/app  Latest image",
		"a/other      False                                        no tag selected",
	}))
	for _, line := range Table(rows, 20) {
		g.Expect(len([]rune(line))).To(BeNumerically("<=", 20), line)
	}
	g.Expect(Table(rows, 20)[1]).To(HaveSuffix("…"))
}

func TestLinesShowOnlyWhatChanged(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	screen := &lines{out: &out, start: time.Now(), seen: map[string]Row{}}
	shown := func(rows ...Row) string {
		out.Reset()
		screen.Show(rows)
		return out.String()
	}

	g.Expect(strings.Count(shown(rows...), "\n")).To(Equal(3))
	g.Expect(shown(rows...)).To(BeEmpty())
	moved := rows[1]
	moved.Tag = "1.1.0"
	g.Expect(shown(rows[0], moved, rows[2])).To(And(ContainSubstring("ImagePolicy a/app "), ContainSubstring("1.1.0"), Not(ContainSubstring("a/other"))))
	g.Expect(shown(rows[0], moved)).To(ContainSubstring("ImagePolicy a/other  deleted"))
	g.Expect(shown(rows[0], moved, Row{Kind: "ImagePolicy", Name: "a/new"})).To(BeEmpty(), "nobody looked at it yet")
}

func TestTerminalDrawsInPlace(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	screen := &terminal{out: &out, size: func() (int, int, error) { return 80, 24, nil }}
	shown := func(do func()) string {
		out.Reset()
		do()
		return out.String()
	}

	first := shown(func() { screen.Show(rows) })
	g.Expect(first).To(HavePrefix(clearBelow))
	height := strings.Count(first, "\n")
	g.Expect(shown(func() { screen.Show(rows) })).To(HavePrefix("\x1b[9F"+clearBelow), "it goes up as many lines as it drew")
	g.Expect(height).To(Equal(9))
	g.Expect(shown(func() { screen.Say("hello") })).To(HavePrefix("\x1b[9F"+clearBelow+"hello\n\nIMAGEREPOSITORY"), "texts go above the table")

	screen.End()
	g.Expect(shown(func() { screen.Say("bye") })).To(Equal(clearBelow+"bye\n"), "the table stays as it was")
}

func TestTerminalNeverDrawsMoreThanFits(t *testing.T) {
	g := NewWithT(t)
	var out bytes.Buffer
	screen := &terminal{out: &out, size: func() (int, int, error) { return 80, 5, nil }}
	screen.Show(rows)
	g.Expect(strings.Count(out.String(), "\n")).To(Equal(4))
}
