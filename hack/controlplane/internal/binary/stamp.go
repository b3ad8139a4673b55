// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Stamp tells what a binary was made from, one `key value` per line. It lies beside the binary; while it equals the
// stamp of the plan, the binary is reused.
type Stamp string

// newStamp renders keys and values, which alternate.
func newStamp(pairs ...string) Stamp {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, "%s %s\n", pairs[i], pairs[i+1])
	}
	return Stamp(b.String())
}

// Stale says why the binary in a folder cannot be reused; it is empty where it can.
func (p Plan) Stale(folder string) (string, error) {
	if !Executable(filepath.Join(folder, p.Name)) {
		return "not built yet", nil
	}
	content, err := os.ReadFile(p.stampFile(folder))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "nothing tells what it was built from", nil
	case err != nil:
		return "", err
	}
	return p.Stamp.difference(Stamp(content)), nil
}

// Install moves a finished binary into a folder. The order matters to whoever is stopped half-way: no binary ever lies
// beside the stamp of another.
func (p Plan) Install(built, folder string) error {
	if err := os.Remove(p.stampFile(folder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(built, filepath.Join(folder, p.Name)); err != nil {
		return err
	}
	// Written beside what was built, and renamed like it: a stamp is never seen half-written.
	draft := built + ".stamp"
	if err := os.WriteFile(draft, []byte(p.Stamp), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, p.stampFile(folder))
}

func (p Plan) stampFile(folder string) string {
	return filepath.Join(folder, p.Name+".stamp")
}

// difference names the first key in which an old stamp differs; it is empty where none does.
func (s Stamp) difference(old Stamp) string {
	if s == old {
		return ""
	}
	was := map[string]string{}
	for line := range strings.Lines(string(old)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		was[key] = value
	}
	for line := range strings.Lines(string(s)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if was[key] != value {
			return fmt.Sprintf("%s changed (was %q, is %q)", key, was[key], value)
		}
	}
	return "its stamp has lines that nothing accounts for"
}

// Executable says whether a path is a file that can be run.
func Executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
