// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// errNotRunning says that there is nothing to stop or to wait for.
var errNotRunning = errors.New("not running")

// program is what a Registry and a Controller have in common: a process that
// can be started anew. The zero value is a program that does not run.
type program struct {
	mu      sync.Mutex
	process *process
	logFile string
}

// launch starts the command and waits until probe succeeds. Where it does not,
// nothing is left running, and the error ends with the log.
func (p *program) launch(ctx context.Context, c command, probe func(context.Context) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil && !isClosed(p.process.ended) {
		return fmt.Errorf("%s runs already", c.binary)
	}
	p.logFile = c.logFile
	process, err := c.start()
	if err != nil {
		return fmt.Errorf("%s could not be started: %w", c.binary, err)
	}
	p.process = process
	if err := process.await(ctx, probe); err != nil {
		err = fmt.Errorf("%s did not start: %w", c.binary, err)
		return errors.Join(err, process.kill(), tailError(c.logFile))
	}
	return nil
}

// Stop asks the program to end, and waits for it. To stop one that does not
// run is no error.
func (p *program) Stop() error { return p.end((*process).stop) }

// Kill ends the program as a crash would: without a chance to clean up.
func (p *program) Kill() error { return p.end((*process).kill) }

func (p *program) end(how func(*process) error) error {
	current := p.current()
	if current == nil {
		return nil
	}
	if err := how(current); err != nil {
		return fmt.Errorf("%s could not be stopped: %w", current.cmd.Path, err)
	}
	return nil
}

// Done is closed when the program, as it was started last, has ended.
func (p *program) Done() <-chan struct{} {
	if current := p.current(); current != nil {
		return current.ended
	}
	closed := make(chan struct{})
	close(closed)
	return closed
}

// Exit returns how the program ended, once Done is closed.
func (p *program) Exit() error {
	current := p.current()
	if current == nil {
		return errNotRunning
	}
	return fmt.Errorf("%s ended: %s", current.cmd.Path, current.exit())
}

// PID returns the program's process id, 0 where it was never started.
func (p *program) PID() int {
	if current := p.current(); current != nil {
		return current.cmd.Process.Pid
	}
	return 0
}

// LogFile is the file that all runs of the program wrote their output to.
func (p *program) LogFile() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.logFile
}

func (p *program) current() *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// tailLines is how much of a log is shown with an error.
const tailLines = 25

// tailError returns the end of a log as an error.
func tailError(file string) error {
	return fmt.Errorf("the end of %s:\n%s", file, Tail(file, tailLines))
}

// Tail returns the last lines of a file, indented.
func Tail(file string, lines int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return "    " + err.Error()
	}
	text := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	text = text[max(0, len(text)-lines):]
	return "    " + strings.Join(text, "\n    ")
}
