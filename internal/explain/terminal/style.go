// SPDX-License-Identifier: Apache-2.0

// Package terminal knows what may be written to a terminal, and how.
package terminal

import (
	"io"
	"os"

	"golang.org/x/term"
)

// Style is how a text is written.
type Style struct {
	// Width is how many columns there are, 0 for as many as it takes.
	Width int
	// Color says that colours are shown.
	Color bool
}

// The values of --color.
const (
	ColorAuto   = "auto"
	ColorAlways = "always"
	ColorNever  = "never"
)

// Colors are the values of --color.
func Colors() []string { return []string{ColorAuto, ColorAlways, ColorNever} }

// StyleOf returns how out is written to. A terminal has a width, and colours
// unless NO_COLOR or TERM=dumb are in the environment. Everything else gets
// neither: what is piped must not depend on where somebody sits.
func StyleOf(out io.Writer, color string, getenv func(string) string) Style {
	style := Style{Color: color == ColorAlways}
	file, ok := out.(*os.File)
	if !ok || !IsTerminal(file) {
		return style
	}
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		style.Width = width
	}
	if color == ColorAuto {
		style.Color = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	}
	return style
}

// IsTerminal reports whether somebody looks at a file.
func IsTerminal(file *os.File) bool {
	return term.IsTerminal(int(file.Fd()))
}

// The colours that are used.
const (
	Bold   = "\x1b[1m"
	Green  = "\x1b[32m"
	Yellow = "\x1b[33m"
	Faint  = "\x1b[2m"
	reset  = "\x1b[0m"
)

// Paint colours a text.
func (s Style) Paint(color, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return color + text + reset
}
