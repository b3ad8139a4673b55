// SPDX-License-Identifier: Apache-2.0

// Package terminal formats text for terminals: tables, colors, lines that fit the width,
// and untrusted text without escape sequences. It uses go-pretty for layout and colors.
package terminal

import (
	"io"
	"os"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// Style describes how text is written to an output.
type Style struct {
	// Width and Height are the columns and lines of a terminal, 0 for no limit.
	Width, Height int
	// Color enables colors.
	Color bool
}

// The values of --color.
const (
	ColorAuto   = "auto"
	ColorAlways = "always"
	ColorNever  = "never"
)

// Colors returns the values of --color.
func Colors() []string { return []string{ColorAuto, ColorAlways, ColorNever} }

// StyleOf returns the style of an output for a value of --color. A terminal has a size, and
// with ColorAuto it has colors unless NO_COLOR or TERM=dumb is set in the environment. Other
// outputs, such as pipes, have no size, and colors only with ColorAlways.
func StyleOf(out io.Writer, color string) Style {
	style := Style{Color: color == ColorAlways}
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return style
	}
	if width, height, err := term.GetSize(int(file.Fd())); err == nil {
		style.Width, style.Height = width, height
	}
	if color == ColorAuto {
		style.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return style
}

// Paint colors a line.
func (s Style) Paint(color text.Color, line string) string {
	if !s.Color || line == "" {
		return line
	}
	return text.Escape(line, color.EscapeSeq())
}

// Table returns the lines of a table without borders, truncated to the width. The first row
// has the titles. The row with the index highlighted is green, 0 for none.
func (s Style) Table(rows [][]string, highlighted int) []string {
	t := table.NewWriter()
	t.SetStyle(table.Style{Box: table.BoxStyle{PaddingRight: "  "}, Options: table.OptionsNoBordersAndSeparators})
	t.SuppressTrailingSpaces()
	for _, row := range rows {
		cells := make(table.Row, len(row))
		for i, cell := range row {
			cells[i] = Clean(cell)
		}
		t.AppendRow(cells)
	}
	lines := strings.Split(t.Render(), "\n")
	for i, line := range lines {
		lines[i] = Cut(line, s.Width)
	}
	lines[0] = s.Paint(text.Bold, lines[0])
	if highlighted > 0 {
		lines[highlighted] = s.Paint(text.FgGreen, lines[highlighted])
	}
	return lines
}
