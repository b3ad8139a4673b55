// SPDX-License-Identifier: Apache-2.0

// Package staging keeps the replace list that k8s.io/kubernetes needs.
//
// Kubernetes requires its own libraries (k8s.io/api and so on) at v0.0.0 and replaces them by folders of its
// repository. A replace counts only in the main module, so whoever builds a command of kubernetes has to write the list
// again, with the versions under which the same sources are published: v1.36.3 of kubernetes is v0.36.3 of each.
package staging

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/image-reflector-controller/hack/controlplane/internal/gocmd"
)

// replaces derives the list from the go.mod of kubernetes at a version.
func replaces(kubernetes gocmd.ModFile, version string) ([]gocmd.Replace, error) {
	published, err := publishedVersion(version)
	if err != nil {
		return nil, err
	}
	var list []gocmd.Replace
	for _, r := range kubernetes.Replace {
		if !strings.HasPrefix(r.New.Path, "./staging/") {
			continue
		}
		path := r.Old.Path
		list = append(list, gocmd.Replace{
			Old: gocmd.Module{Path: path},
			New: gocmd.Module{Path: path, Version: published},
		})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("k8s.io/kubernetes %s replaces nothing by its staging folder", version)
	}
	slices.SortFunc(list, byPath)
	return list, nil
}

// publishedVersion turns the version of kubernetes into that of its libraries.
func publishedVersion(version string) (string, error) {
	rest, ok := strings.CutPrefix(version, "v1.")
	if !ok {
		return "", fmt.Errorf("k8s.io/kubernetes %s: libraries are published for v1 only", version)
	}
	return "v0." + rest, nil
}

// owned picks the replaces that this package writes: a Kubernetes library by itself at another version. Others, such
// as a fork under trial, are left alone.
func owned(file gocmd.ModFile) []gocmd.Replace {
	var list []gocmd.Replace
	for _, r := range file.Replace {
		if strings.HasPrefix(r.Old.Path, "k8s.io/") && r.Old.Version == "" && r.New.Path == r.Old.Path {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, byPath)
	return list
}

// difference lists what has to change, one line each.
func difference(have, want []gocmd.Replace) []string {
	var lines []string
	for _, r := range have {
		if !slices.Contains(want, r) {
			lines = append(lines, "- "+render(r))
		}
	}
	for _, r := range want {
		if !slices.Contains(have, r) {
			lines = append(lines, "+ "+render(r))
		}
	}
	return lines
}

func render(r gocmd.Replace) string {
	return fmt.Sprintf("%s => %s %s", r.Old.Path, r.New.Path, r.New.Version)
}

func byPath(a, b gocmd.Replace) int {
	return cmp.Compare(a.Old.Path, b.Old.Path)
}
