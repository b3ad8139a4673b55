// SPDX-License-Identifier: Apache-2.0

package build

import (
	"context"
	"os"
	"path/filepath"
)

// unfinished is the prefix of temporary folders of builds. They are in the folder of the result, so
// that a rename is atomic.
const unfinished = ".unfinished-"

// Build builds a program into a folder, and logs the progress. The caller has locked the folder.
func (p Plan) Build(ctx context.Context, folder string, log func(line string)) error {
	work, err := workFolder(folder)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()

	built := filepath.Join(work, p.Name)
	compilation := Compilation{Name: p.Name + " " + p.Version, Dir: p.dir, Flags: p.flags(p.Version), Package: p.Package}
	compiled, took, err := compilation.compile(ctx, built, log)
	if err != nil {
		return err
	}
	log(builtLine(compilation.Name, compiled, took))
	return p.Install(built, folder)
}

// workFolder creates a temporary folder, and removes those of killed builds. No other build is
// running, because the caller has locked the folder.
func workFolder(folder string) (string, error) {
	leftover, err := filepath.Glob(filepath.Join(folder, unfinished+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range leftover {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	return os.MkdirTemp(folder, unfinished)
}
