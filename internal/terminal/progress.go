// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/jedib0t/go-pretty/v6/text"
)

// Progress is a line that shows how far a listing is, and is erased when it ends.
// It is safe for concurrent use.
type Progress struct {
	out   io.Writer // nil where there is no terminal
	width int
	what  string

	mu    sync.Mutex
	shown bool
}

// NewProgress returns a Progress for what is being listed. Nothing is ever
// written to out unless it is a terminal that can erase a line.
func NewProgress(out io.Writer, what string) *Progress {
	width := StyleOf(out, ColorNever).Width
	if width == 0 || os.Getenv("TERM") == "dumb" {
		return &Progress{}
	}
	return &Progress{out: out, width: width, what: Clean(what)}
}

// eraseLine erases the line, and goes to its beginning.
var eraseLine = "\r" + text.EraseLine.Sprint()

// Show tells how many pages and tags were listed. One page is no long listing.
func (p *Progress) Show(pages, tags int) {
	if pages > 1 {
		p.draw(fmt.Sprintf("listing %s: %d tags in %d pages", p.what, tags, pages))
	}
}

// Counter returns a function to call after each of some steps, which shows how many
// are done, such as "reading the images of NAME: 3 of 100".
func (p *Progress) Counter(doing string, all int) func() {
	var done atomic.Int64
	return func() {
		p.draw(fmt.Sprintf("%s %s: %d of %d", doing, p.what, done.Add(1), all))
	}
}

func (p *Progress) draw(line string) {
	if p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown = true
	fmt.Fprint(p.out, eraseLine+Cut(line, max(p.width-1, 0))) // in the last column, some terminals begin a new line
}

// End erases the line.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.out, eraseLine)
		p.shown = false
	}
}
