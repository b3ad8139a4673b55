// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"fmt"
	"io"
	"os"
	"time"
)

// Display writes a status again and again until it is told to stop.
type Display struct {
	out      io.Writer
	every    time.Duration
	terminal bool
}

// NewDisplay refreshes one line where the file is a terminal. In a log, a line appears every quarter of a minute.
func NewDisplay(out *os.File) Display {
	if isTerminal(out) {
		return Display{out: out, every: time.Second / 2, terminal: true}
	}
	return Display{out: out, every: 15 * time.Second}
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// Show starts showing a status, and returns how to end that.
func (d Display) Show(status func(now time.Time) string) func() {
	ticker := time.NewTicker(d.every)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		d.loop(ticker.C, quit, status)
	}()
	return func() {
		ticker.Stop()
		close(quit)
		<-done // so that nothing is written later, amid what the caller writes next
	}
}

func (d Display) loop(ticks <-chan time.Time, quit <-chan struct{}, status func(time.Time) string) {
	for {
		select {
		case now := <-ticks:
			d.line(status(now))
		case <-quit:
			d.clear()
			return
		}
	}
}

// Println writes a line that stays.
func (d Display) Println(line string) {
	_, _ = fmt.Fprintln(d.out, line)
}

// line writes the status; on a terminal over the one before.
func (d Display) line(status string) {
	if d.terminal {
		_, _ = fmt.Fprintf(d.out, "\r\x1b[K%s", status)
		return
	}
	d.Println(status)
}

func (d Display) clear() {
	if d.terminal {
		_, _ = fmt.Fprint(d.out, "\r\x1b[K")
	}
}
