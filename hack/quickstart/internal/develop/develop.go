// SPDX-License-Identifier: Apache-2.0

// Package develop makes a new controller of every change of its sources.
package develop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// interval is the time between two looks at the sources. A change is built when
// two looks agree: an editor, or git, may still be at it.
const interval = 300 * time.Millisecond

// sources are what the controller is built from, and what the cluster has of it.
var sources = []string{"api", "internal", "config/crd/bases", "config/rbac"}

// Build is what came of a change.
type Build struct {
	// Binary is the new controller.
	Binary string
	// Duration is how long it took.
	Duration time.Duration
	// Err is what the compiler has against the change, if anything.
	Err error
}

// Watch sends what comes of each change to the sources below root, until ctx
// ends, and closes the channel then. The programs go into dir, each under a name
// of its own.
func Watch(ctx context.Context, root, dir string) <-chan Build {
	builds := make(chan Build)
	built := fingerprint(root)
	go func() {
		defer close(builds)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		seen := built
		for number := 1; ; {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			now := fingerprint(root)
			if settled := now == seen; !settled || now == built {
				seen = now
				continue
			}
			built = now
			select {
			case builds <- build(ctx, root, filepath.Join(dir, fmt.Sprintf("image-reflector-controller-%d", number))):
				number++
			case <-ctx.Done():
				return
			}
		}
	}()
	return builds
}

func build(ctx context.Context, root, binary string) Build {
	began := time.Now()
	var problems bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, ".")
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, &problems, &problems
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that its compilers end, too
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, strings.TrimSpace(problems.String()))
	}
	return Build{Binary: binary, Duration: time.Since(began), Err: err}
}

// fingerprint tells one state of the sources from another.
func fingerprint(root string) string {
	var all strings.Builder
	note := func(path string, entry fs.DirEntry) {
		if info, err := entry.Info(); err == nil { // else it has just gone
			fmt.Fprintln(&all, path, info.Size(), info.ModTime().UnixNano())
		}
	}
	files := os.DirFS(root)
	// what can't be read can't be built, and the compiler says so
	entries, _ := fs.ReadDir(files, ".")
	for _, entry := range entries {
		if !entry.IsDir() && isSource(entry.Name()) {
			note(entry.Name(), entry)
		}
	}
	for _, folder := range sources {
		_ = fs.WalkDir(files, folder, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == "testdata":
				return fs.SkipDir
			case !entry.IsDir() && isSource(entry.Name()):
				note(path, entry)
			}
			return nil
		})
	}
	return all.String()
}

// isSource leaves out tests, texts, and what editors have while they write.
func isSource(name string) bool {
	for _, kind := range []string{".go", ".mod", ".sum", ".yaml", ".json", ".pem", ".txt"} {
		if strings.HasSuffix(name, kind) {
			return !strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, ".")
		}
	}
	return false
}
