// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// startTimeout bounds the start of one program on a machine that is busy.
	startTimeout = 60 * time.Second
	// stopTimeout is how long a program may take to end by itself.
	stopTimeout = 20 * time.Second
	// probeTimeout bounds one look at a program that starts.
	probeTimeout = time.Second
	// pollInterval is the time between two looks at a program that starts.
	pollInterval = 50 * time.Millisecond
)

// process is one run of a program. It has a process group of its own, so that
// Ctrl-C reaches only the one who started it, who then ends everything in order.
type process struct {
	cmd *exec.Cmd
	// ended is closed when the process has ended, and err says how.
	ended chan struct{}
	err   error
}

// command says what to run.
type command struct {
	binary string
	args   []string
	// env is set in addition to the environment.
	env []string
	// logFile is appended to.
	logFile string
}

func (c command) start() (*process, error) {
	if err := os.MkdirAll(filepath.Dir(c.logFile), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(c.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own descriptor of it
	cmd := exec.Command(c.binary, c.args...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end, and makes it where it does not. A program in Go then
// logs its goroutines.
func (p *process) stop() error {
	ended, err := p.signal(syscall.SIGTERM, stopTimeout)
	if err != nil || ended {
		return err
	}
	err = fmt.Errorf("it did not end within %s of being asked to, and was killed: its log ends with what it was doing", stopTimeout)
	_, failure := p.signal(syscall.SIGQUIT, time.Second)
	return errors.Join(err, failure, p.kill())
}

// kill ends the process without asking, and waits until it is gone.
func (p *process) kill() error {
	ended, err := p.signal(syscall.SIGKILL, stopTimeout)
	if err == nil && !ended {
		return fmt.Errorf("it did not end within %s of being killed", stopTimeout)
	}
	return err
}

// signal sends a signal, and reports whether the process ends within a time.
func (p *process) signal(signal syscall.Signal, within time.Duration) (bool, error) {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false, err
	}
	select {
	case <-p.ended:
		return true, nil
	case <-time.After(within):
		return false, nil
	}
}

// exit returns how the process ended, in words.
func (p *process) exit() string {
	if p.err != nil {
		return p.err.Error()
	}
	return "exit status 0"
}

// await calls probe until it succeeds. It gives up when the process ends.
func (p *process) await(ctx context.Context, probe func(context.Context) error) error {
	var failure error
	err := wait.PollUntilContextTimeout(ctx, pollInterval, startTimeout, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		failure = probe(ctx)
		if isClosed(p.ended) {
			return false, fmt.Errorf("it ended: %s", p.exit())
		}
		return failure == nil, nil
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("not ready within %s: %w (%w)", startTimeout, cmp.Or(context.Cause(ctx), err), failure)
	}
	return err
}
