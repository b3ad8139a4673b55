// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// startTimeout bounds the start of one program on a machine that is busy.
	startTimeout = 60 * time.Second
	// startAttempts bounds how often other addresses are tried where another program took
	// the ones that were free a moment before.
	startAttempts = 3
	// stopTimeout is how long a program may take to end by itself.
	stopTimeout = 20 * time.Second
	// probeTimeout bounds one look at a program that starts.
	probeTimeout = time.Second
	// pollInterval is the time between two looks at a program that starts.
	pollInterval = 50 * time.Millisecond
	// tailLines is how much of a log is shown with an error.
	tailLines = 25
)

// program is what a Registry and a Controller have in common: a process that can be
// started anew. It has a process group of its own, so that Ctrl-C reaches only the one
// who started it, who then ends everything in order. The zero value does not run.
type program struct {
	mu    sync.Mutex
	addrs []string // that it listens on
	// cmd is the process that was started last, nil where there was none. ended is closed
	// when it has ended, and exit says how.
	cmd   *exec.Cmd
	ended chan struct{}
	exit  error
}

// launch starts a program with the number of addresses that it listens on, the same ones
// each time, and waits until the first one answers at a path with one of the statuses. Where
// it does not, nothing is left running, and the error ends with the log.
func (p *program) launch(ctx context.Context, logFile string, addresses int, command func() *exec.Cmd, path string, statuses ...int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil && !isClosed(p.ended) {
		return fmt.Errorf("%s runs already", p.cmd.Path)
	}
	kept := p.addrs != nil
	var err error
	for range startAttempts {
		if !kept {
			if p.addrs, err = freeAddresses(addresses); err != nil {
				return fmt.Errorf("no free port: %w", err)
			}
		}
		err = p.start(ctx, logFile, command(), "http://"+p.addrs[0]+path, statuses)
		if err == nil || kept || !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return err
}

// start starts the process, and waits until it is ready. Where it does not get so, the error
// ends with what it logged.
func (p *program) start(ctx context.Context, logFile string, cmd *exec.Cmd, url string, statuses []int) error {
	log, err := openLog(logFile)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own descriptor of it
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, ownGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s could not be started: %w", cmd.Path, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		err := cmd.Wait()
		p.exit = fmt.Errorf("%s ended: %s", cmd.Path, cmd.ProcessState)
		if err != nil {
			p.exit = fmt.Errorf("%s ended: %w", cmd.Path, err)
		}
		close(ended)
	}()
	if err := p.await(ctx, url, statuses); err != nil {
		err = fmt.Errorf("%s did not start: %w", cmd.Path, err)
		return errors.Join(err, p.kill(), fmt.Errorf("the end of %s:\n%s", logFile, Tail(logFile, tailLines)))
	}
	return nil
}

// await returns when the process answers. It gives up when the process ends.
func (p *program) await(ctx context.Context, url string, statuses []int) error {
	var failure error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, startTimeout, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		_, failure = get(ctx, url, statuses...)
		if isClosed(p.ended) {
			return false, p.exit
		}
		return failure == nil, nil
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("not ready within %s: %w (%w)", startTimeout, cmp.Or(context.Cause(ctx), err), failure)
	}
	return err
}

// Stop asks the program to end, and makes it where it does not. A program in Go then logs
// its goroutines. To stop one that does not run is no error.
func (p *program) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	ended, err := p.signal(syscall.SIGTERM, stopTimeout)
	if err != nil || ended {
		return err
	}
	err = fmt.Errorf("%s did not end within %s of being asked to, and was killed: its log ends with what it was doing",
		p.cmd.Path, stopTimeout)
	_, failure := p.signal(syscall.SIGQUIT, time.Second)
	return errors.Join(err, failure, p.kill())
}

// Kill ends the program as a crash would: without a chance to clean up.
func (p *program) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kill()
}

func (p *program) kill() error {
	ended, err := p.signal(syscall.SIGKILL, stopTimeout)
	if err == nil && !ended {
		return fmt.Errorf("%s did not end within %s of being killed", p.cmd.Path, stopTimeout)
	}
	return err
}

// signal sends a signal, and reports whether the process ends within a time.
func (p *program) signal(signal syscall.Signal, within time.Duration) (bool, error) {
	if p.cmd == nil {
		return true, nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false, fmt.Errorf("%s could not be stopped: %w", p.cmd.Path, err)
	}
	select {
	case <-p.ended:
		return true, nil
	case <-time.After(within):
		return false, nil
	}
}

// Done is closed when the program, as it was started last, has ended.
func (p *program) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil { // it was never started
		p.ended = make(chan struct{})
		close(p.ended)
	}
	return p.ended
}

// Exit returns how the program ended, once Done is closed.
func (p *program) Exit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// PID returns the program's process id, 0 where it was never started.
func (p *program) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// addr returns one of the addresses that the program listens on, none before it was started.
func (p *program) addr(i int) string {
	if i >= len(p.addrs) {
		return ""
	}
	return p.addrs[i]
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// freeAddresses returns addresses that no program listens on right now.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close() // not before the others are chosen
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// get returns the body of an answer that has one of the wanted statuses.
func get(ctx context.Context, url string, wanted ...int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if !slices.Contains(wanted, response.StatusCode) {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}

// openLog opens a file for a program to append to.
func openLog(file string) (*os.File, error) {
	return os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// Tail returns the last lines of a file, indented.
func Tail(file string, lines int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return "    " + err.Error()
	}
	text := bytes.Split(bytes.TrimRight(content, "\n"), []byte("\n"))
	return "    " + string(bytes.Join(text[max(0, len(text)-lines):], []byte("\n    ")))
}
