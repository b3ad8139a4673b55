// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	v1 "github.com/fluxcd/image-reflector-controller/api/v1"
	"github.com/fluxcd/image-reflector-controller/internal/terminal"
)

// screen shows a run: on a terminal as a table that stays at the bottom, otherwise as a line for
// each change. It is safe for concurrent use.
type screen struct {
	out   io.Writer
	style func() terminal.Style
	start time.Time

	mu sync.Mutex
	// table is the table that was drawn last.
	table []string
	// shown are the rows that were shown last, by key.
	shown map[string]row
}

func newScreen(out io.Writer) *screen {
	return &screen{out: out, start: time.Now(), style: func() terminal.Style { return terminal.StyleOf(out, terminal.ColorAuto) }}
}

// printLine prints a permanent line above the table.
func (s *screen) printLine(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw(line+"\n", s.table)
}

// show shows the current rows.
func (s *screen) show(rows []row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	style := s.style()
	if style.Height == 0 {
		s.showChanges(rows)
		return
	}
	table := append([]string{""}, tables(rows, style)...)
	table = append(table, "", time.Now().Format(time.TimeOnly)+"  Ctrl-C stops everything")
	if len(table) >= style.Height { // lines that scroll away can't be redrawn
		table = table[len(table)-style.Height+1:]
	}
	s.draw("", table)
}

// end keeps the last table on the terminal.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = nil
}

// draw replaces the last table by a text and a table, in one write to avoid flicker.
func (s *screen) draw(above string, lines []string) {
	erase := strings.Repeat(text.CursorUp.Sprint()+"\r"+text.EraseLine.Sprint(), len(s.table))
	drawn := ""
	if len(lines) > 0 {
		drawn = strings.Join(lines, "\n") + "\n"
	}
	s.table = lines
	fmt.Fprint(s.out, erase+above+drawn)
}

// showChanges prints the rows that have changed.
func (s *screen) showChanges(rows []row) {
	change := func(line string) { fmt.Fprintf(s.out, "%6.1fs  %s\n", time.Since(s.start).Seconds(), line) }
	previous := s.shown
	s.shown = make(map[string]row, len(rows))
	for _, r := range rows {
		s.shown[r.key()] = r
		if previous[r.key()] != r && r.ready != "" { // empty: not reconciled yet
			selected := strings.TrimSpace(r.tag + " " + r.shortDigest())
			change(fmt.Sprintf("%-36s  %-35s  ready: %-7s  %s", r.key(), selected, r.ready, terminal.Clean(r.message)))
		}
		delete(previous, r.key())
	}
	for key := range previous {
		change(key + "  deleted")
	}
}

// tables returns the lines of two tables, one for each kind. The most important columns come
// first, because a narrow terminal truncates lines.
func tables(rows []row, style terminal.Style) []string {
	repositories := [][]string{{"IMAGEREPOSITORY", "READY", "TAGS", "IMAGE", "STATUS"}}
	policies := [][]string{{"IMAGEPOLICY", "READY", "TAG", "DIGEST", "IMAGE", "STATUS"}}
	for _, r := range rows {
		if r.kind == v1.ImageRepositoryKind {
			repositories = append(repositories, []string{r.name, r.ready, r.tag, r.image, terminal.Clean(r.message)})
			continue
		}
		policies = append(policies, []string{r.name, r.ready, r.tag, r.shortDigest(), r.image, terminal.Clean(r.message)})
	}
	return append(append(style.Table(repositories, 0), ""), style.Table(policies, 0)...)
}
