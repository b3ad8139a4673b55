// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// terminal is a shell that stays open from one command to the next, as that of
// a reader: variables and the working directory last.
type terminal struct {
	in     io.WriteCloser
	out    *bufio.Reader
	ended  func() error
	cancel context.CancelFunc
}

// commandTime bounds one command. Builds of a machine that has built nothing
// yet are in it.
const commandTime = 5 * time.Minute

// endOfCommand is printed after each command, with its exit code.
const endOfCommand = "=== end of command"

func openTerminal(t *testing.T, dir string, env []string) *terminal {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "bash", "--norc", "--noprofile")
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &terminal{in: in, out: bufio.NewReader(out), ended: cmd.Wait, cancel: cancel}
}

// run types a command, and returns what it prints, both to the standard output
// and to the standard error. A failure of any part of a pipe is one.
func (s *terminal) run(command string) (string, error) {
	watchdog := time.AfterFunc(commandTime, s.cancel)
	defer watchdog.Stop()
	if _, err := fmt.Fprintf(s.in, "set -o pipefail; {\n%s\n} </dev/null 2>&1; printf '\\n%s %%d\\n' $?\n", command, endOfCommand); err != nil {
		return "", err
	}
	var printed strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if code, end := strings.CutPrefix(line, endOfCommand+" "); end {
			output := strings.TrimSuffix(printed.String(), "\n")
			if code != "0\n" {
				return output, fmt.Errorf("exit status %s", strings.TrimSpace(code))
			}
			return output, nil
		}
		printed.WriteString(line)
		if err != nil {
			return printed.String(), fmt.Errorf("the shell ended, perhaps as the command took more than %s: %w", commandTime, err)
		}
	}
}

func (s *terminal) close() error {
	defer s.cancel()
	if err := s.in.Close(); err != nil {
		return err
	}
	return s.ended()
}

// endless is a command that runs until Ctrl-C.
type endless struct {
	cmd     *exec.Cmd
	lines   chan string
	printed strings.Builder
}

// begin runs a command until it prints a text, and leaves it running.
func begin(t *testing.T, dir string, env []string, command, until string) *endless {
	t.Helper()
	e := &endless{cmd: exec.Command("bash", "-c", command), lines: make(chan string, 10000)}
	e.cmd.Dir, e.cmd.Env = dir, env
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a terminal does, whose Ctrl-C all of the group get
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	e.cmd.Stderr = e.cmd.Stdout
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(e.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			e.lines <- scanner.Text()
		}
	}()
	timeout := time.After(commandTime)
	for {
		select {
		case line, more := <-e.lines:
			e.printed.WriteString(line + "\n")
			if !more {
				t.Fatalf("%s ended before it printed %q:\n%s", command, until, e.printed.String())
			}
			if strings.Contains(line, until) {
				return e
			}
		case <-timeout:
			e.interrupt()
			t.Fatalf("%s did not print %q:\n%s", command, until, e.printed.String())
		}
	}
}

// interrupt is Ctrl-C. It returns all that the command printed.
func (e *endless) interrupt() string {
	_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGINT)
	kill := time.AfterFunc(time.Minute, func() { _ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL) })
	defer kill.Stop()
	for line := range e.lines {
		e.printed.WriteString(line + "\n")
	}
	_ = e.cmd.Wait() // make has its own idea of how to end on Ctrl-C
	return e.printed.String()
}
