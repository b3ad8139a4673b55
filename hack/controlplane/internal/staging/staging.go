// SPDX-License-Identifier: Apache-2.0

// Package staging keeps the replace list that k8s.io/kubernetes needs.
//
// Kubernetes requires its own libraries (k8s.io/api and so on) at v0.0.0 and replaces them by folders of its
// repository. A replace counts only in the main module, so a module that builds a command of kubernetes has to have the list
// again, with the versions under which the same sources are published: v1.36.3 of kubernetes is v0.36.3 of each.
package staging

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

const kubernetes = "k8s.io/kubernetes"

// Check fails where a folder's go.mod requires another version of kubernetes than that of the first folder, or has a replace
// list that does not fit it.
func Check(ctx context.Context, folders ...string) error {
	return forEach(ctx, folders, func(folder string, edit []string) error {
		var forms [2]string
		for i, args := range [][]string{edit, {"mod", "edit"}} {
			form, err := gocmd.Output(ctx, folder, append(args, "-print")...)
			if err != nil {
				return err
			}
			forms[i] = form
		}
		if forms[0] != forms[1] {
			return fmt.Errorf("%s is out of date, run `make controlplane-replaces`", filepath.Join(folder, "go.mod"))
		}
		return nil
	})
}

// Write makes the go.mod of each folder fit the version of kubernetes that the first one requires, and tidies it.
func Write(ctx context.Context, folders ...string) error {
	return forEach(ctx, folders, func(folder string, edit []string) error {
		_, err := gocmd.Output(ctx, folder, edit...)
		if err == nil {
			_, err = gocmd.Output(ctx, folder, "mod", "tidy")
		}
		return err
	})
}

// forEach calls do for each folder, with the command of go that makes its go.mod fit the version of kubernetes that the
// first one requires, and returns all errors.
func forEach(ctx context.Context, folders []string, do func(folder string, edit []string) error) error {
	version, want, err := wanted(ctx, folders[0])
	if err != nil {
		return err
	}
	var problems []error
	for _, folder := range folders {
		file, err := gocmd.ReadModFile(ctx, filepath.Join(folder, "go.mod"))
		if err == nil {
			err = do(folder, edit(file, version, want))
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// edit returns the command of go that makes a go.mod require a version of kubernetes, and have the wanted replaces and no
// others of a Kubernetes library by itself at another version. The rest, such as a fork under trial, is left alone.
func edit(file gocmd.ModFile, version string, want []gocmd.Replace) []string {
	args := []string{"mod", "edit", "-require=" + kubernetes + "@" + version}
	for _, r := range file.Replace {
		ours := strings.HasPrefix(r.Old.Path, "k8s.io/") && r.Old.Version == "" && r.New.Path == r.Old.Path
		if ours && !slices.ContainsFunc(want, func(w gocmd.Replace) bool { return w.Old == r.Old }) {
			args = append(args, "-dropreplace="+r.Old.Path)
		}
	}
	for _, r := range want {
		args = append(args, "-replace="+r.Old.Path+"="+r.New.Path+"@"+r.New.Version)
	}
	return args
}

// wanted returns the version of kubernetes that a folder's go.mod requires, and the list for it. Of kubernetes, only the
// go.mod is downloaded, in an empty folder: in the module itself, a list that is out of date would keep the go command from
// loading anything.
func wanted(ctx context.Context, folder string) (string, []gocmd.Replace, error) {
	file, err := gocmd.ReadModFile(ctx, filepath.Join(folder, "go.mod"))
	if err != nil {
		return "", nil, err
	}
	version, err := file.Version(kubernetes)
	if err != nil {
		return "", nil, err
	}
	empty, err := os.MkdirTemp("", "controlplane-")
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = os.RemoveAll(empty) }()
	path, err := gocmd.Output(ctx, empty, "list", "-m", "-f", "{{.GoMod}}", kubernetes+"@"+version)
	if err != nil {
		return "", nil, err
	}
	upstream, err := gocmd.ReadModFile(ctx, path)
	if err != nil {
		return "", nil, err
	}
	want, err := replaces(upstream, version)
	return version, want, err
}

// replaces derives the list from the go.mod of kubernetes at a version.
func replaces(upstream gocmd.ModFile, version string) ([]gocmd.Replace, error) {
	rest, ok := strings.CutPrefix(version, "v1.")
	if !ok {
		return nil, fmt.Errorf("%s %s: libraries are published for v1 only", kubernetes, version)
	}
	var list []gocmd.Replace
	for _, r := range upstream.Replace {
		if strings.HasPrefix(r.New.Path, "./staging/") {
			list = append(list, gocmd.Replace{Old: r.Old, New: gocmd.Module{Path: r.Old.Path, Version: "v0." + rest}})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s %s replaces nothing by its staging folder", kubernetes, version)
	}
	slices.SortFunc(list, func(a, b gocmd.Replace) int { return cmp.Compare(a.Old.Path, b.Old.Path) })
	return list, nil
}
