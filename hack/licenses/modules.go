// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// module is a module that is linked, with its licence files.
type module struct {
	path, version, dir string
	files              []file
}

// file is a file with a licence, or with notices that go with one.
type file struct {
	name   string
	text   []byte
	notice bool
}

// licenseFile and noticeFile are what files with licences and notices are called.
var (
	licenseFile = regexp.MustCompile(`^(?i)(licen[cs]e|copying|copyright|unlicense)([.-].*)?$`)
	noticeFile  = regexp.MustCompile(`^(?i)notice(\..*)?$`)
)

// linked returns the modules that a program is linked from, Go first. The
// program's own module, and what replaces one from a folder, are not third
// parties.
func linked(ctx context.Context, program string) ([]module, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	root, err := output(ctx, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	modules := []module{{path: "Go", version: info.GoVersion, dir: strings.TrimSpace(string(root))}}
	var names []string
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		if dep.Version != "" && !strings.HasPrefix(dep.Path, ".") {
			names = append(names, dep.Path+"@"+dep.Version)
		}
	}
	found, err := cached(ctx, names)
	modules = append(modules, found...)
	for i := range modules {
		if err == nil {
			modules[i].files, err = licenseFiles(modules[i].dir)
		}
	}
	return modules, err
}

// cached returns modules with their folders in the module cache.
func cached(ctx context.Context, names []string) ([]module, error) {
	out, err := output(ctx, append([]string{"mod", "download", "-json"}, names...)...)
	if err != nil {
		return nil, err
	}
	var modules []module
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var m struct{ Path, Version, Dir string }
		if err := decoder.Decode(&m); err != nil {
			return nil, err
		}
		modules = append(modules, module{path: m.Path, version: m.Version, dir: m.Dir})
	}
	return modules, nil
}

func output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	return out, nil
}

// licenseFiles returns the licences and notices at the top of a module.
func licenseFiles(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []file
	for _, entry := range entries {
		notice := noticeFile.MatchString(entry.Name())
		if !entry.Type().IsRegular() || strings.HasSuffix(entry.Name(), ".go") || !notice && !licenseFile.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: entry.Name(), text: text, notice: notice})
	}
	return files, nil
}
