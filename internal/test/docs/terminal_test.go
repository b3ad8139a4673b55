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

// shellProcess is a shell that keeps its variables and working directory between commands, like
// that of a user.
type shellProcess struct {
	in     io.Writer
	out    *bufio.Reader
	cancel context.CancelFunc
}

// commandTimeout limits one command, which may be a build without a cache.
const commandTimeout = 5 * time.Minute

// endOfCommand is printed with the exit code after each command.
const endOfCommand = "=== end of command"

func startShell(t *testing.T, dir string, env []string) *shellProcess {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // t.Context() ends before the cleanup
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
			t.Errorf("the shell failed: %v", err)
		}
	})
	return &shellProcess{in: in, out: bufio.NewReader(out), cancel: cancel}
}

// run runs a command and returns its output on stdout and stderr. It returns an error if any part
// of a pipe fails.
func (s *shellProcess) run(command string) (string, error) {
	watchdog := time.AfterFunc(commandTimeout, s.cancel)
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
			return printed.String(), fmt.Errorf("the shell ended, possibly because the command took more than %s: %w", commandTimeout, err)
		}
	}
}

// background returns a command line that runs a command until Ctrl-C in the background, and returns
// when it has printed a text. The job has its own process group, which receives Ctrl-C.
func background(command, until, log string) string {
	return fmt.Sprintf(`set -m; {
%s
} >%[3]s 2>&1 & set +m
until grep -qF %[2]q %[3]s; do kill -0 %%1 || { cat %[3]s; exit 1; }; sleep 0.2; done`, command, until, log)
}

// ctrlC returns a command line that interrupts the command in the background and prints its output.
// It ignores the exit code, which depends on make.
func ctrlC(log string) string { return "kill -INT %1; wait %1; cat " + log }
