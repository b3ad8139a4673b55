// SPDX-License-Identifier: Apache-2.0

// Package gocmd runs the go command for this machine, without cgo and without a workspace. Other
// settings of the caller's environment apply, such as GOFLAGS.
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

// shutdownTimeout is how long an interrupted go command may take to exit before it is killed.
const shutdownTimeout = 10 * time.Second

// Command prepares `go args...` in a folder. Canceling the context interrupts its process group, as
// Ctrl-C does: interrupted alone, the go command would leave its compilers running.
func Command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := Process(ctx, dir, "go", args...)
	cmd.Env = append(cmd.Env,
		"CGO_ENABLED=0",                                // needs no C compiler
		"GOWORK=off",                                   // ignores an enclosing workspace
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, // the programs run on this machine
	)
	return cmd
}

// Process prepares a program in a folder. Canceling the context interrupts its process group.
func Process(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = shutdownTimeout
	return cmd
}

// Output runs `go args...` in a folder and returns its trimmed stdout. An error contains its
// stderr.
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
