// SPDX-License-Identifier: Apache-2.0

package view

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// Screen is where a run is shown.
type Screen interface {
	// Say prints a text that stays.
	Say(text string)
	// Show shows the rows as they are now.
	Show(rows []Row)
	// End leaves the rows as they were shown last.
	End()
}

// NewScreen returns a screen that suits the output.
func NewScreen(out io.Writer) Screen {
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return &terminal{out: out, size: func() (int, int, error) { return term.GetSize(int(file.Fd())) }}
	}
	return &lines{out: out, start: time.Now(), seen: map[string]Row{}}
}

// terminal keeps the table at the bottom of the output and draws it anew where
// it is.
type terminal struct {
	out  io.Writer
	size func() (width, height int, err error)

	mu    sync.Mutex
	table []string
	drawn int
}

const (
	clearBelow = "\x1b[J"
	upTo       = "\x1b[%dF"
)

// Say prints the text above the table.
func (t *terminal) Say(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draw(text+"\n", t.table)
}

// Show draws the table.
func (t *terminal) Show(rows []Row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	width, height, err := t.size()
	if err != nil {
		width, height = 0, 0
	}
	table := append([]string{""}, Table(rows, width)...)
	table = append(table, "", time.Now().Format(time.TimeOnly)+"  Ctrl-C ends everything")
	if height > 0 && len(table) >= height { // what scrolls away can't be drawn anew
		table = table[len(table)-height+1:]
	}
	t.draw("", table)
}

// End leaves the table where it is.
func (t *terminal) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table, t.drawn = nil, 0
}

// draw replaces what was drawn last, in one write, so that nothing flickers.
func (t *terminal) draw(above string, table []string) {
	var text strings.Builder
	if t.drawn > 0 {
		fmt.Fprintf(&text, upTo, t.drawn)
	}
	text.WriteString(clearBelow + above)
	for _, line := range table {
		text.WriteString(line + "\n")
	}
	t.table, t.drawn = table, len(table)
	fmt.Fprint(t.out, text.String())
}

// lines prints a line for each row that changed.
type lines struct {
	out   io.Writer
	start time.Time

	mu   sync.Mutex
	seen map[string]Row
}

// Say prints the text.
func (l *lines) Say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.out, text)
}

// Show prints the rows that are not as they were.
func (l *lines) Show(rows []Row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := make(map[string]Row, len(rows))
	for _, row := range rows {
		key := row.Kind + " " + row.Name
		now[key] = row
		if l.seen[key] != row {
			l.print(key, row)
		}
	}
	for key := range l.seen {
		if _, ok := now[key]; !ok {
			fmt.Fprintf(l.out, "%6.1fs  %s  deleted\n", time.Since(l.start).Seconds(), key)
		}
	}
	l.seen = now
}

func (l *lines) print(key string, row Row) {
	if row.Ready == "" {
		return // nobody looked at it yet
	}
	found := strings.TrimSpace(row.Tag + " " + short(row.Digest))
	fmt.Fprintf(l.out, "%6.1fs  %-36s  %-35s  ready: %-7s  %s\n", time.Since(l.start).Seconds(), key, found, row.Ready, cut(row.Message, 0))
}

// End has nothing to do.
func (l *lines) End() {}
