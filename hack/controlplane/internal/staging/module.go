// SPDX-License-Identifier: Apache-2.0

package staging

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

const kubernetes = "k8s.io/kubernetes"

// Check fails where the replace list in a folder's go.mod does not fit the version of kubernetes required there.
func Check(ctx context.Context, folder string) error {
	have, want, err := lists(ctx, folder)
	if err != nil {
		return err
	}
	if lines := difference(have, want); len(lines) > 0 {
		return fmt.Errorf("%s is out of date, run `make controlplane-replaces`:\n%s",
			filepath.Join(folder, "go.mod"), strings.Join(lines, "\n"))
	}
	return nil
}

// Write makes the list fit, and tidies the module.
func Write(ctx context.Context, folder string) error {
	have, want, err := lists(ctx, folder)
	if err != nil {
		return err
	}
	edit := []string{"mod", "edit"}
	for _, r := range have {
		edit = append(edit, "-dropreplace="+r.Old.Path)
	}
	for _, r := range want {
		edit = append(edit, "-replace="+r.Old.Path+"="+r.New.Path+"@"+r.New.Version)
	}
	if _, err := gocmd.Output(ctx, folder, edit...); err != nil {
		return err
	}
	_, err = gocmd.Output(ctx, folder, "mod", "tidy")
	return err
}

// Follow makes a module require the version of kubernetes that another one does, and fit its list to that.
func Follow(ctx context.Context, leader, folder string) error {
	version, err := required(ctx, leader)
	if err != nil {
		return err
	}
	if _, err := gocmd.Output(ctx, folder, "mod", "edit", "-require="+kubernetes+"@"+version); err != nil {
		return err
	}
	return Write(ctx, folder)
}

// CheckFollows fails where a module requires another version of kubernetes than the one that it is to follow, or has a list
// that does not fit.
func CheckFollows(ctx context.Context, leader, folder string) error {
	want, err := required(ctx, leader)
	if err != nil {
		return err
	}
	have, err := required(ctx, folder)
	if err != nil {
		return err
	}
	if have != want {
		return fmt.Errorf("%s requires %s %s, and %s requires %s: run `make controlplane-replaces`",
			filepath.Join(folder, "go.mod"), kubernetes, have, filepath.Join(leader, "go.mod"), want)
	}
	return Check(ctx, folder)
}

// required returns the version of kubernetes that the module in a folder requires.
func required(ctx context.Context, folder string) (string, error) {
	file, err := gocmd.ReadModFile(ctx, filepath.Join(folder, "go.mod"))
	if err != nil {
		return "", err
	}
	return file.Version(kubernetes)
}

// lists returns the replacements that the module in the folder has, and those that it should have.
func lists(ctx context.Context, folder string) ([]gocmd.Replace, []gocmd.Replace, error) {
	file, err := gocmd.ReadModFile(ctx, filepath.Join(folder, "go.mod"))
	if err != nil {
		return nil, nil, err
	}
	version, err := file.Version(kubernetes)
	if err != nil {
		return nil, nil, err
	}
	upstream, err := fetch(ctx, version)
	if err != nil {
		return nil, nil, err
	}
	want, err := replaces(upstream, version)
	return owned(file), want, err
}

// fetch reads the go.mod of kubernetes; the sources are not downloaded for it. It runs in an empty folder: in the
// module itself, a list that is out of date would keep the go command from loading anything.
func fetch(ctx context.Context, version string) (gocmd.ModFile, error) {
	empty, err := os.MkdirTemp("", "controlplane-")
	if err != nil {
		return gocmd.ModFile{}, err
	}
	defer func() { _ = os.RemoveAll(empty) }()
	path, err := gocmd.Output(ctx, empty, "list", "-m", "-f", "{{.GoMod}}", kubernetes+"@"+version)
	if err != nil {
		return gocmd.ModFile{}, err
	}
	return gocmd.ReadModFile(ctx, path)
}
