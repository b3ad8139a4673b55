// SPDX-License-Identifier: Apache-2.0

package build

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const hello = "package main\n\nfunc main() { println(\"hello\") }\n"

// module creates a module with one program, and returns its plan.
func module(t *testing.T, source string) Plan {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module demo\n\ngo 1.26.0\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Plan{
		Program: Program{Name: "demo", Package: ".", linkVars: func(string) []string { return nil }},
		dir:     dir,
		Version: "v1.0.0",
		stamp:   "version v1.0.0\n",
	}
}

func files(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

func TestBuild_InstallsProgramAndStamp(t *testing.T) {
	plan, folder := module(t, hello), t.TempDir()
	var logged []string
	// The folder of a killed build.
	if err := os.Mkdir(filepath.Join(folder, unfinished+"1"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "demo"), "old", 0o755)
	write(t, plan.stampFile(folder), "version old\n", 0o644)

	if err := plan.Build(t.Context(), folder, func(line string) { logged = append(logged, line) }); err != nil {
		t.Fatal(err)
	}
	if got, want := files(t, folder), "demo demo.stamp"; got != want {
		t.Errorf("the folder contains %q; want %q and nothing unfinished", got, want)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(folder, "demo")).CombinedOutput()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("the program printed %q, %v", out, err)
	}
	if reason, err := plan.Stale(folder); reason != "" || err != nil {
		t.Errorf("Stale = %q, %v after a build; want it current", reason, err)
	}
	if got := strings.Join(logged, "\n"); !strings.Contains(got, "demo v1.0.0: built in ") {
		t.Errorf("logged %q; want the built program", got)
	}
}

func TestBuild_KeepsInstalledProgramOnFailure(t *testing.T) {
	plan, folder := module(t, "package main\n\nfunc main() { undefinedName() }\n"), t.TempDir()
	write(t, filepath.Join(folder, "demo"), "old", 0o755)
	err := plan.Build(t.Context(), folder, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "undefined: undefinedName") {
		t.Errorf("Build = %v; want the errors of the compiler", err)
	}
	wantOld(t, folder)
}

// wantOld checks that a folder contains only the old program.
func wantOld(t *testing.T, folder string) {
	t.Helper()
	if got := files(t, folder); got != "demo" {
		t.Errorf("the folder contains %q; want only the old binary", got)
	}
	if content, _ := os.ReadFile(filepath.Join(folder, "demo")); string(content) != "old" {
		t.Errorf("the old binary became %q", content)
	}
}

func TestWorkFolder_KeepsThatOfARunningBuild(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "[bin]") // a character class, if it were a pattern
	killed, running := filepath.Join(folder, unfinished+"1"), filepath.Join(folder, unfinished+"2")
	day := time.Now().Add(-25 * time.Hour)
	if err := errors.Join(os.Mkdir(folder, 0o755), os.Mkdir(killed, 0o755), os.Mkdir(running, 0o755), os.Chtimes(killed, day, day)); err != nil {
		t.Fatal(err)
	}
	work, err := WorkFolder(folder, longestBuild)
	entries, _ := os.ReadDir(folder)
	var left []string
	for _, entry := range entries {
		left = append(left, filepath.Join(folder, entry.Name()))
	}
	want := []string{running, work}
	slices.Sort(want)
	if err != nil || !slices.Equal(left, want) {
		t.Errorf("WorkFolder = %v, and %q are left; want %q", err, left, want)
	}
}
