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
	// built is the fingerprint of the sources of the last build, polled that of the last poll.
	built, polled string
	// count is the number of builds.
	count int
	// cancel cancels the current build. It is nil if there is none.
	cancel context.CancelFunc
	// builds receives the result of each build.
	builds chan build
}

// build is the result of a build.
type build struct {
	binary   string // path of the new controller
	duration time.Duration
	err      error // of the compiler
}

func newBuilder(root, dir string) *builder {
	now := fingerprint(root)
	return &builder{root: root, dir: dir, built: now, polled: now, builds: make(chan build, 1)}
}

// poll starts a build if the sources have changed. It waits for two equal polls, because an
// editor or git may still be writing.
func (b *builder) poll(ctx context.Context) {
	now := fingerprint(b.root)
	settled := now == b.polled
	b.polled = now
	if !settled || now == b.built || b.cancel != nil {
		return
	}
	b.built = now
	b.count++
	ctx, b.cancel = context.WithCancel(ctx)
	binary := filepath.Join(b.dir, fmt.Sprintf("image-reflector-controller-%d", b.count))
	go func() { b.builds <- buildController(ctx, b.root, binary) }()
}

// stop cancels the current build and waits until its compilers have exited.
func (b *builder) stop() {
	if b.cancel != nil {
		b.cancel()
		<-b.builds
	}
}

func buildController(ctx context.Context, root, binary string) build {
	start := time.Now()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, ".")
	cmd.Dir = root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that its compilers end, too
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, strings.TrimSpace(string(output)))
	}
	return build{binary: binary, duration: time.Since(start), err: err}
}

// sources are the files from which the controller is built, except the Go files in the root,
// and those installed into the cluster.
var sources = []string{"go.mod", "go.sum", "api", "internal", "config/crd/bases", "config/rbac"}

// fingerprint returns a text that changes with every change of the sources.
func fingerprint(root string) string {
	var all strings.Builder
	files := os.DirFS(root)
	programs, _ := fs.Glob(files, "*.go")
	for _, source := range append(programs, sources...) {
		// the compiler reports files that can't be read
		_ = fs.WalkDir(files, source, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() && !isSource(entry.Name()) {
				return nil //nolint:nilerr // it was just removed
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

// isSource excludes tests, documentation and temporary files of editors.
func isSource(name string) bool {
	return slices.Contains([]string{".go", ".mod", ".sum", ".yaml", ".json", ".pem", ".txt"}, filepath.Ext(name)) &&
		!strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(name, ".")
}

// replace replaces the running controller by a new build. The control plane with its objects, the
// registries and the store stay. If build, installation or start fails, it reports the error, and
// the previous controller keeps running.
func (s *session) replace(ctx context.Context, built build) error {
	s.builder.cancel()
	s.builder.cancel = nil
	if built.err != nil {
		s.report(fmt.Sprintf("the change can't be built, and the previous controller keeps running: %v", built.err))
		return nil //nolint:nilerr // it is reported
	}
	_, err := s.plane.ControllerAccount(ctx, s.roleFile())
	if err := errors.Join(err, s.plane.InstallCRDs()); err != nil {
		s.report(fmt.Sprintf("the change can't be installed, and the previous controller keeps running: %v", err))
		return nil
	}
	if err := s.controller.Stop(); err != nil {
		return err
	}
	previous := s.controller.Binary
	s.controller.Binary, s.crashes, s.down = built.binary, nil, false
	if err := s.controller.Start(ctx); err != nil {
		s.report("the new controller does not start, and the previous one is restarted: " + err.Error())
		s.controller.Binary = previous
		return s.resume(ctx)
	}
	return s.reportStart(fmt.Sprintf("built in %.1f s, and the new controller runs", built.duration.Seconds()))
}
