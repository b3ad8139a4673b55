// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// terminal is a shell that stays open from one command to the next, as that of
// a reader: variables and the working directory last.
type terminal struct {
	in     io.Writer
	out    *bufio.Reader
	cancel context.CancelFunc
}

// commandTime bounds one command. Builds of a machine that has built nothing
// yet are in it.
const commandTime = 5 * time.Minute

// endOfCommand is printed after each command, with its exit code.
const endOfCommand = "=== end of command"

func openTerminal(t *testing.T, dir string, env []string) *terminal {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // it ends before the cleanup
	cmd := exec.CommandContext(ctx, "bash", "--norc", "--noprofile")
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	in, err := cmd.StdinPipe()
	out, failed := cmd.StdoutPipe()
	cmd.Stderr = cmd.Stdout
	NewWithT(t).Expect(errors.Join(err, failed, cmd.Start())).To(Succeed())
	t.Cleanup(func() {
		defer cancel()
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Errorf("the shell ended badly: %v", err)
		}
	})
	return &terminal{in: in, out: bufio.NewReader(out), cancel: cancel}
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

// background is a command that runs until Ctrl-C, and gives the terminal back when
// it has printed a text. As a job it has a process group of its own, all of which
// Ctrl-C reaches.
func background(command, until, log string) string {
	return fmt.Sprintf(`set -m; {
%s
} >%[3]s 2>&1 & set +m
until grep -qF %[2]q %[3]s; do kill -0 %%1 || { cat %[3]s; exit 1; }; sleep 0.2; done`, command, until, log)
}

// ctrlC ends the command in the background, and prints all that it printed. With
// what code it ends is not looked at: make has its own idea of that.
func ctrlC(log string) string { return "kill -INT %1; wait %1; cat " + log }
