// SPDX-License-Identifier: Apache-2.0

// Package gocmd runs the go command so that the caller's environment does not change what it makes.
package gocmd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// grace is how long an interrupted go command may take to end before it is killed.
const grace = 10 * time.Second

// Command prepares `go args...` in a folder. Cancelling the context interrupts it together with the compilers it started,
// as Ctrl-C would; interrupted alone, it leaves them running. So it gets a process group of its own.
func Command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"CGO_ENABLED=0",                                // no C compiler needed
		"GOWORK=off",                                   // the modules here are pinned on their own, whatever workspace surrounds them
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, // what is built is run here, also while cross-compiling
	)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = grace
	return cmd
}

// Output runs `go args...` in a folder and returns its trimmed standard output. An error holds what it said.
func Output(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := Command(ctx, dir, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
