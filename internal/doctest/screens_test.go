// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fluxcd/image-reflector-controller/hack/quickstart/stage"
)

var updateScreens = flag.Bool("update-screens", false, "write what commands print into the pages that show it")

// screensPage shows what commands print. What they print of a cluster is tested
// by internal/e2e.
const screensPage = "docs/guides/explain.md"

// namedFile is the first line of a block that is a file of the commands.
var namedFile = regexp.MustCompile(`^# ([a-z-]+\.yaml)\n`)

// TestScreens runs the commands of the blocks that show what they print: with
// the files that the page shows, and the real tags of an official image.
func TestScreens(t *testing.T) {
	dir := workspace(t)
	shown := 0
	for _, p := range pages(t) {
		if p.path != screensPage {
			continue
		}
		for _, b := range p.blocks() {
			if m := namedFile.FindStringSubmatch(b.text); m != nil {
				write(t, filepath.Join(dir, m[1]), b.text)
			}
		}
		text := strings.Join(p.lines, "\n")
		for _, b := range p.blocks() {
			if b.info != "console" {
				continue
			}
			shown++
			command, want, _ := strings.Cut(b.text, "\n")
			got := printed(t, dir, strings.TrimPrefix(command, "$ "))
			text = strings.Replace(text, "```console\n"+b.text+"```", "```console\n"+command+"\n"+got+"```", 1)
			if diff := cmp.Diff(want, got); diff != "" && !*updateScreens {
				t.Errorf("%s:%d shows something else (-page +printed), to accept it: go test ./internal/doctest -run Screens -args -update-screens\n%s",
					p.path, b.line, diff)
			}
		}
		if *updateScreens {
			write(t, filepath.Join(root(t), p.path), text)
		}
	}
	if shown == 0 {
		t.Errorf("%s shows no command", screensPage)
	}
}

// workspace returns a folder with the programs and the tags.
func workspace(t *testing.T) string {
	t.Helper()
	controller := os.Getenv(stage.ControllerVariable)
	if controller == "" {
		t.Fatalf("%s is not set, and this test needs the controller: run make test", stage.ControllerVariable)
	}
	dir := t.TempDir()
	for _, name := range []string{"image-reflector-controller", "kubectl-imagepolicy", "flux-imagepolicy"} {
		if err := os.Symlink(controller, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(filepath.Join(root(t), "internal/selection/testdata/tags/node.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	var tags strings.Builder
	for line := range strings.Lines(string(content)) {
		tag, _, _ := strings.Cut(line, "\t")
		tags.WriteString(tag + "\n")
	}
	write(t, filepath.Join(dir, "tags.txt"), tags.String())
	return dir
}

// printed runs a command line, and returns what it prints.
func printed(t *testing.T, dir, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir}
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); cmd.ProcessState == nil || problems.Len() > 0 {
		t.Errorf("%s: %v\n%s", command, err, problems.String())
	}
	return out.String()
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
