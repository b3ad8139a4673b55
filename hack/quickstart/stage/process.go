// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// startTimeout bounds the start of one program on a machine that is busy.
	startTimeout = 60 * time.Second
	// stopTimeout is how long a program may take to end by itself.
	stopTimeout = 20 * time.Second
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

// stop asks the process to end, and makes it where it does not.
func (p *process) stop() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopTimeout):
		err := fmt.Errorf("it did not end within %s of being asked to, and was killed: its log ends with what it was doing", stopTimeout)
		return errors.Join(err, p.dump(), p.kill())
	}
}

// dump ends a process that is written in Go, and has it log its goroutines.
func (p *process) dump() error {
	if err := p.signal(syscall.SIGQUIT); err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(pollInterval * 20):
	}
	return nil
}

// kill ends the process without asking, and waits until it is gone.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.ended
	return nil
}

func (p *process) signal(signal syscall.Signal) error {
	if err := p.cmd.Process.Signal(signal); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
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
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready within %s", startTimeout))
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		failure := probe(ctx)
		select {
		case <-p.ended:
			return fmt.Errorf("it ended: %s", p.exit())
		default:
		}
		if failure == nil {
			return nil
		}
		select {
		case <-p.ended:
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", context.Cause(ctx), failure)
		}
	}
}
