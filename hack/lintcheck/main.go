// SPDX-License-Identifier: Apache-2.0

// The lintcheck command proves that the rules of the architecture can fail: in
// an otherwise empty copy of this module it plants one violation of each, and
// wants golangci-lint to report just these.
//
//	go run ./hack/lintcheck bin/golangci-lint
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: lintcheck GOLANGCI-LINT, in the root of the repository")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "lintcheck:", err)
		os.Exit(1)
	}
}

func run(linter string) error {
	linter, err := filepath.Abs(linter)
	if err != nil {
		return err
	}
	root, err := os.MkdirTemp("", "lintcheck")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	if err := plant(root); err != nil {
		return err
	}
	found, err := lint(linter, root)
	if err != nil {
		return err
	}
	return compare(found)
}

// plant makes a module with the requirements and the rules of this one.
func plant(root string) error {
	for _, name := range []string{".golangci.yml", "go.mod", "go.sum", "api/go.mod", "api/go.sum"} {
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("run this in the root of the repository: %w", err)
		}
		if err := write(filepath.Join(root, name), content); err != nil {
			return err
		}
	}
	for _, v := range violations {
		source, err := v.source()
		if err != nil {
			return fmt.Errorf("%s: %w", v.file, err)
		}
		if err := write(filepath.Join(root, v.file), source); err != nil {
			return err
		}
	}
	return nil
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// finding is what golangci-lint reports of a file.
type finding struct {
	linter, text string
}

// lint returns what golangci-lint finds, by file.
func lint(linter, root string) (map[string][]finding, error) {
	cmd := exec.Command(linter, "run", "--output.json.path=stdout", "--show-stats=false", "./...")
	cmd.Dir = root
	// Nothing is to be known of files that will be gone.
	cmd.Env = append(os.Environ(), "GOLANGCI_LINT_CACHE="+filepath.Join(root, ".cache"))
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		return nil, fmt.Errorf("running golangci-lint: %w\n%s", err, &problems)
	}
	var report struct {
		Issues []struct {
			FromLinter, Text string
			Pos              struct{ Filename string }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return nil, fmt.Errorf("reading the report of golangci-lint: %w\n%s\n%s", err, &out, &problems)
	}
	found := map[string][]finding{}
	for _, issue := range report.Issues {
		file := filepath.ToSlash(issue.Pos.Filename)
		found[file] = append(found[file], finding{issue.FromLinter, issue.Text})
	}
	return found, nil
}

// compare fails where a violation was not found, or something else was.
func compare(found map[string][]finding) error {
	var failed []string
	for _, v := range violations {
		got := found[v.file]
		expected := func(f finding) bool { return f.linter == v.linter && strings.Contains(f.text, v.text) }
		switch {
		case v.linter == "" && len(got) > 0:
			failed = append(failed, fmt.Sprintf("%s: %v, but %s", v.file, got, v.reason))
		case v.linter != "" && !slices.ContainsFunc(got, expected):
			failed = append(failed, fmt.Sprintf("%s: %s says nothing of %q, but %s (it found %v)", v.file, v.linter, v.text, v.reason, got))
		default:
			fmt.Printf("ok  %-34s %s\n", v.file, v.reason)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("rules of .golangci.yml don't hold:\n%s", strings.Join(failed, "\n"))
	}
	return nil
}
