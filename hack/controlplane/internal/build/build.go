// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// unfinished is the prefix of temporary folders of builds. They are in the folder of the result, so
// that a rename is atomic.
const unfinished = ".unfinished-"

// Build builds a program into a folder, and logs the progress. The caller has locked the folder.
func (p Plan) Build(ctx context.Context, folder string, log func(line string)) error {
	work, err := WorkFolder(folder, 0)
	if err != nil {
		return err
	}
	defer func() { _ = RemoveAll(work) }()

	built := filepath.Join(work, p.Name)
	compilation := Compilation{Name: p.Name + " " + p.Version, Dir: p.dir, Flags: p.flags(p.Version), Package: p.Package}
	compiled, took, err := compilation.compile(ctx, built, log)
	if err != nil {
		return err
	}
	log(builtLine(compilation.Name, compiled, took))
	return p.Install(built, folder)
}

// WorkFolder creates a temporary folder in a folder, which it creates if needed, and removes those of
// killed processes, which are at least as old as the age. It is 0 if the caller has locked the
// folder, so that no other process runs.
func WorkFolder(folder string, age time.Duration) (string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !strings.HasPrefix(entry.Name(), unfinished) || time.Since(info.ModTime()) < age {
			continue
		}
		if err := RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(folder, unfinished)
}

// RemoveAll removes a folder that may contain read-only folders, such as those of setup-envtest.
func RemoveAll(folder string) error {
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			_ = os.Chmod(path, 0o755) //nolint:gosec // a folder without x can't be removed
		}
		return nil
	})
	return os.RemoveAll(folder)
}
