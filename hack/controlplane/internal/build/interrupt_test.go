// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowCompiler configures the go command to run compilers through a script that sleeps. It returns
// the path of a pipe: the script writes "started" to it, and readers receive EOF when it has
// exited, even if it was not reaped.
func slowCompiler(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	pipe, script := filepath.Join(dir, "pipe"), filepath.Join(dir, "slow.sh")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	content := "#!/bin/sh\nfor arg; do [ \"$arg\" = -V=full ] && exec \"$@\"; done\n" +
		"exec 3>" + pipe + " && echo started >&3 && exec sleep 60\n"
	if err := os.WriteFile(script, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOFLAGS", "-toolexec="+script)
	return pipe
}

func TestBuild_StopsCompilersWhenInterrupted(t *testing.T) {
	// The source is unique, so it is not in the build cache.
	plan, folder := module(t, fmt.Sprintf("package main\n\nfunc main() { println(%d) }\n", time.Now().UnixNano())), t.TempDir()
	write(t, filepath.Join(folder, "demo"), "old", 0o755)
	pipe := slowCompiler(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	result := make(chan error, 1)
	go func() { result <- plan.Build(ctx, folder, func(string) {}) }()
	compiler, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = compiler.Close() }()
	output := bufio.NewReader(compiler)
	if line, err := output.ReadString('\n'); line != "started\n" {
		t.Fatalf("the compiler printed %q, %v", line, err)
	}
	interrupted := time.Now()
	cancel()

	if err := <-result; err == nil || !strings.Contains(err.Error(), "was interrupted") {
		t.Errorf("Build = %v; want an error that it was interrupted", err)
	}
	wantOld(t, folder)
	if _, err := io.Copy(io.Discard, output); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(interrupted); took > 30*time.Second {
		t.Errorf("the compiler exited after %s; want it stopped by the interrupt", took)
	}
}
