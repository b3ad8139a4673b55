// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a linked module as printed by the go command, with its licence files.
type module struct {
	Path, Version, Dir string
	files              []file
}

// file is a file with a licence or notices.
type file struct {
	name string
	text []byte
}

// licenseFile and noticeFile match the names of files with licences and notices.
var (
	licenseFile = regexp.MustCompile(`^(?i)(licen[cs]e|copying|copyright|unlicense)([.-].*)?$`)
	noticeFile  = regexp.MustCompile(`^(?i)notice(\..*)?$`)
)

// linked returns the modules that are linked into programs, Go first, without the main module and
// modules that are replaced by a folder.
func linked(ctx context.Context, programs ...string) ([]module, error) {
	root, err := goOutput(ctx, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	version, versions, err := requirements(programs)
	if err != nil {
		return nil, err
	}
	cached, err := goOutput(ctx, append([]string{"mod", "download", "-json"}, versions...)...)
	if err != nil {
		return nil, err
	}
	modules := []module{{Path: "Go", Version: version, Dir: strings.TrimSpace(string(root))}}
	for decoder := json.NewDecoder(bytes.NewReader(cached)); decoder.More(); {
		var m module
		if err := decoder.Decode(&m); err != nil {
			return nil, err
		}
		modules = append(modules, m)
	}
	for i := range modules {
		if modules[i].files, err = licenseFiles(modules[i].Dir); err != nil {
			return nil, err
		}
	}
	return modules, nil
}

// requirements returns the version of Go and the modules of programs, each as path@version.
func requirements(programs []string) (string, []string, error) {
	var version string
	found := map[string]bool{}
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return "", nil, err
		}
		version = info.GoVersion
		for _, dep := range info.Deps {
			if dep.Replace != nil {
				dep = dep.Replace
			}
			if dep.Version != "" && !strings.HasPrefix(dep.Path, ".") {
				found[dep.Path+"@"+dep.Version] = true
			}
		}
	}
	return version, slices.Sorted(maps.Keys(found)), nil
}

func goOutput(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	return out, nil
}

// licenseFiles returns the licences and notices in the root folder of a module.
func licenseFiles(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, entry := range entries {
		matches := licenseFile.MatchString(entry.Name()) || noticeFile.MatchString(entry.Name())
		if !matches || !entry.Type().IsRegular() || strings.HasSuffix(entry.Name(), ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: entry.Name(), text: text})
	}
	return files, nil
}
