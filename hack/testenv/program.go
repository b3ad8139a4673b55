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
	// startTimeout bounds the start of one program on a busy machine.
	startTimeout = 60 * time.Second
	// startAttempts bounds the attempts with other addresses if another program took the free
	// ones in the meantime.
	startAttempts = 3
	// stopTimeout bounds the graceful shutdown of a program.
	stopTimeout = 20 * time.Second
	// probeTimeout bounds one readiness check.
	probeTimeout = time.Second
	// pollInterval is the time between two readiness checks.
	pollInterval = 50 * time.Millisecond
	// tailLines is the number of log lines in an error.
	tailLines = 25
)

// program is the common part of Registry and Controller: a process that can be restarted. It has
// its own process group, so that only the parent receives Ctrl-C, and stops everything in order.
// The zero value is not running.
type program struct {
	mu    sync.Mutex
	addrs []string // listen addresses
	// cmd is the last process, nil before the first start. done is closed when it has exited,
	// and exit is the reason.
	cmd  *exec.Cmd
	done chan struct{}
	exit error
}

// launch starts a program with n listen addresses, the same ones at each start, and waits until
// the first one responds to the path with one of the statuses. If it fails, no process is left
// running, and the error contains the end of the log.
func (p *program) launch(ctx context.Context, logFile string, n int, command func() *exec.Cmd, path string, statuses ...int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil && !isClosed(p.done) {
		return fmt.Errorf("%s is already running", p.cmd.Path)
	}
	reuse := p.addrs != nil
	var err error
	for range startAttempts {
		if !reuse {
			if p.addrs, err = freeAddresses(n); err != nil {
				return fmt.Errorf("finding free ports: %w", err)
			}
		}
		err = p.start(ctx, logFile, command(), "http://"+p.addrs[0]+path, statuses)
		if err == nil || reuse || !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return err
}

// start starts the process and waits until it is ready. If it fails, the error contains the end
// of the log.
func (p *program) start(ctx context.Context, logFile string, cmd *exec.Cmd, url string, statuses []int) error {
	log, err := openLog(logFile)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own file descriptor
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, ownGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s could not be started: %w", cmd.Path, err)
	}
	done := make(chan struct{})
	p.cmd, p.done = cmd, done
	go func() {
		err := cmd.Wait()
		p.exit = fmt.Errorf("%s ended: %s", cmd.Path, cmd.ProcessState)
		if err != nil {
			p.exit = fmt.Errorf("%s ended: %w", cmd.Path, err)
		}
		close(done)
	}()
	if err := p.await(ctx, url, statuses); err != nil {
		err = fmt.Errorf("%s did not start: %w", cmd.Path, err)
		return errors.Join(err, p.kill(), fmt.Errorf("the end of %s:\n%s", logFile, Tail(logFile, tailLines)))
	}
	return nil
}

// await waits until the process responds. It returns an error if the process exits.
func (p *program) await(ctx context.Context, url string, statuses []int) error {
	var failure error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, startTimeout, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		_, failure = get(ctx, url, statuses...)
		if isClosed(p.done) {
			return false, p.exit
		}
		return failure == nil, nil
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("not ready within %s: %w (%w)", startTimeout, cmp.Or(context.Cause(ctx), err), failure)
	}
	return err
}

// Stop sends SIGTERM and waits. If the program doesn't exit in time, Stop returns an error and
// kills it, after SIGQUIT, by which a Go program logs its goroutines. It does nothing if the
// program is not running.
func (p *program) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	exited, err := p.signal(syscall.SIGTERM, stopTimeout)
	if err != nil || exited {
		return err
	}
	err = fmt.Errorf("%s did not exit within %s of SIGTERM, and was killed: its log ends with its goroutines",
		p.cmd.Path, stopTimeout)
	_, failure := p.signal(syscall.SIGQUIT, time.Second)
	return errors.Join(err, failure, p.kill())
}

// Kill kills the program with SIGKILL, without a graceful shutdown.
func (p *program) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kill()
}

func (p *program) kill() error {
	exited, err := p.signal(syscall.SIGKILL, stopTimeout)
	if err == nil && !exited {
		return fmt.Errorf("%s did not exit within %s of being killed", p.cmd.Path, stopTimeout)
	}
	return err
}

// signal sends a signal, and reports whether the process exits within a timeout.
func (p *program) signal(signal syscall.Signal, timeout time.Duration) (bool, error) {
	if p.cmd == nil {
		return true, nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false, fmt.Errorf("%s could not be stopped: %w", p.cmd.Path, err)
	}
	select {
	case <-p.done:
		return true, nil
	case <-time.After(timeout):
		return false, nil
	}
}

// Done returns a channel that is closed when the last started process has exited.
func (p *program) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil { // never started
		p.done = make(chan struct{})
		close(p.done)
	}
	return p.done
}

// Exit returns the reason why the program exited, once Done is closed.
func (p *program) Exit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exit
}

// PID returns the program's process ID, 0 before the first start.
func (p *program) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// addr returns a listen address of the program, empty before the first start.
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

// freeAddresses returns n addresses on which no program listens at present.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close() // after all addresses are chosen
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}

// get returns the body of a response. A status that is not in statuses is an error.
func get(ctx context.Context, url string, statuses ...int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if !slices.Contains(statuses, response.StatusCode) {
		return nil, fmt.Errorf("%s returned %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}

// openLog opens a file for appending.
func openLog(file string) (*os.File, error) {
	return os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// Tail returns the last lines of a file, indented, or the error of reading it.
func Tail(file string, lines int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return "    " + err.Error()
	}
	text := bytes.Split(bytes.TrimRight(content, "\n"), []byte("\n"))
	return "    " + string(bytes.Join(text[max(0, len(text)-lines):], []byte("\n    ")))
}
