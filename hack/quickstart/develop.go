// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// builder builds the controller when its sources have changed.
type builder struct {
	// root is the root of the repository, and dir the folder of the programs.
	root, dir string
	// built and seen are the fingerprints of the sources that were built, and seen, last.
	built, seen string
	// begun counts the builds.
	begun int
	// cancel ends the build that is under way. It is nil where there is none.
	cancel context.CancelFunc
	// builds gets the outcome of each build.
	builds chan build
}

// build is the outcome of a build.
type build struct {
	// binary is the new controller.
	binary string
	// duration is how long it took.
	duration time.Duration
	// err is the error of the compiler, if any.
	err error
}

func newBuilder(root, dir string) *builder {
	now := fingerprint(root)
	return &builder{root: root, dir: dir, built: now, seen: now, builds: make(chan build, 1)}
}

// look begins a build where the sources have changed. A change is built when two looks
// agree: an editor, or git, may still be writing.
func (b *builder) look(ctx context.Context) {
	now := fingerprint(b.root)
	settled := now == b.seen
	b.seen = now
	if !settled || now == b.built || b.cancel != nil {
		return
	}
	b.built = now
	b.begun++
	ctx, b.cancel = context.WithCancel(ctx)
	binary := filepath.Join(b.dir, fmt.Sprintf("image-reflector-controller-%d", b.begun))
	go func() { b.builds <- buildController(ctx, b.root, binary) }()
}

// stop ends the build that is under way, and waits until its compilers are gone.
func (b *builder) stop() {
	if b.cancel != nil {
		b.cancel()
		<-b.builds
	}
}

func buildController(ctx context.Context, root, binary string) build {
	began := time.Now()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, ".")
	cmd.Dir = root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that its compilers end, too
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, strings.TrimSpace(string(output)))
	}
	return build{binary: binary, duration: time.Since(began), err: err}
}

// sources are what the controller is built from, and what the cluster has of it, beside
// the Go files in the root.
var sources = []string{"go.mod", "go.sum", "api", "internal", "config/crd/bases", "config/rbac"}

// fingerprint returns a text that differs from one state of the sources to another.
func fingerprint(root string) string {
	var all strings.Builder
	files := os.DirFS(root)
	programs, _ := fs.Glob(files, "*.go")
	for _, source := range append(programs, sources...) {
		// what can't be read can't be built, and the compiler reports it
		_ = fs.WalkDir(files, source, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() && !isSource(entry.Name()) {
				return nil //nolint:nilerr // it has just gone
			}
			if entry.Name() == "testdata" {
				return fs.SkipDir
			}
			if info, err := entry.Info(); err == nil && !entry.IsDir() {
				fmt.Fprintln(&all, path, info.Size(), info.ModTime().UnixNano())
			}
			return nil
		})
	}
	return all.String()
}

// isSource leaves out tests, texts, and what editors have while they write.
func isSource(name string) bool {
	return slices.Contains([]string{".go", ".mod", ".sum", ".yaml", ".json", ".pem", ".txt"}, filepath.Ext(name)) &&
		!strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, ".")
}

// replace puts a new controller in the place of the one that runs. All else stays as
// it is: the control plane with its objects, the registries, the store. Where the
// change is no good, the controller stays as it is: the next change may be better.
func (s *session) replace(ctx context.Context, built build) error {
	s.builder.cancel()
	s.builder.cancel = nil
	if built.err != nil {
		s.report(fmt.Sprintf("the change can't be built, and the controller stays as it is: %v", built.err))
		return nil //nolint:nilerr // it is reported
	}
	_, err := s.plane.ControllerAccount(ctx, s.roleFile())
	if err := errors.Join(err, s.plane.InstallCRDs()); err != nil {
		s.report(fmt.Sprintf("the change can't be installed, and the controller stays as it is: %v", err))
		return nil
	}
	if err := s.controller.Stop(); err != nil {
		return err
	}
	before := s.controller.Binary
	s.controller.Binary, s.crashes, s.down = built.binary, nil, false
	if err := s.controller.Start(ctx); err != nil {
		s.report("the new controller does not start, and the one before it comes back: " + err.Error())
		s.controller.Binary = before
		return s.resume(ctx)
	}
	return s.running(fmt.Sprintf("built in %.1f s, and the new controller runs", built.duration.Seconds()))
}
