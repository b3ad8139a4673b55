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

// Progress is a line with the progress of an operation, which is erased at its end. It is
// safe for concurrent use.
type Progress struct {
	out     io.Writer // nil if there is no terminal
	width   int
	subject string

	mu    sync.Mutex
	shown bool
}

// NewProgress returns a Progress of operations on a subject, such as the name of an image
// repository. It writes to out only if that is a terminal that can erase a line.
func NewProgress(out io.Writer, subject string) *Progress {
	width := StyleOf(out, ColorNever).Width
	if width == 0 || os.Getenv("TERM") == "dumb" {
		return &Progress{}
	}
	return &Progress{out: out, width: width, subject: Clean(subject)}
}

// eraseLine erases the line, and moves the cursor to its beginning.
var eraseLine = "\r" + text.EraseLine.Sprint()

// Show shows the number of listed pages and tags. It shows nothing for a single page.
func (p *Progress) Show(pages, tags int) {
	if pages > 1 {
		p.draw(fmt.Sprintf("listing %s: %d tags in %d pages", p.subject, tags, pages))
	}
}

// Counter returns a function to be called after each of total steps. It shows the number
// of completed steps, such as "reading the images of NAME: 3 of 100".
func (p *Progress) Counter(activity string, total int) func() {
	var done atomic.Int64
	return func() {
		p.draw(fmt.Sprintf("%s %s: %d of %d", activity, p.subject, done.Add(1), total))
	}
}

func (p *Progress) draw(line string) {
	if p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown = true
	fmt.Fprint(p.out, eraseLine+Cut(line, max(p.width-1, 0))) // some terminals wrap after the last column
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
