// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// TestDockerfile builds the controller from what the Dockerfile copies, as there
// is no daemon that would.
func TestDockerfile(t *testing.T) {
	dockerfile, ignored := lines(t, "Dockerfile"), lines(t, ".dockerignore")
	dir := t.TempDir()
	for _, line := range dockerfile {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "COPY" || strings.HasPrefix(fields[1], "--from") {
			continue
		}
		for _, source := range fields[1 : len(fields)-1] {
			if first, _, _ := strings.Cut(source, "/"); !slices.Contains(ignored, "!"+first) {
				t.Errorf(".dockerignore keeps %s from the Dockerfile, which copies it", first)
			}
			copySources(t, dir, source)
		}
	}
	if t.Failed() {
		return
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "controller"), ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("what the Dockerfile copies can't be built: %v\n%s", err, out)
	}
	if !slices.Contains(dockerfile, "USER "+user) || !slices.Contains(dockerfile, `ENTRYPOINT ["`+program+`"]`) {
		t.Error("the Dockerfile has another user or entry point than make image")
	}
}

func lines(t *testing.T, file string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(content), "\n")
}

// copySources copies what a pattern matches, without tests and their data.
func copySources(t *testing.T, dir, pattern string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("the Dockerfile copies %s, which does not exist (%v)", pattern, err)
	}
	for _, path := range found {
		err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || strings.HasSuffix(path, "_test.go") {
				return err
			}
			if entry.IsDir() {
				if entry.Name() == "testdata" {
					return fs.SkipDir
				}
				return nil
			}
			return copyFile(path, filepath.Join(dir, strings.TrimPrefix(path, root)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o700)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600)
}
