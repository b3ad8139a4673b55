// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
)

var updateScreens = flag.Bool("update-screens", false, "write the output of commands into the pages that show it")

// screensPage shows commands with their output. Those that need a cluster are tested by
// internal/test/e2e.
const screensPage = "docs/guides/explain.md"

// screenPages are the pages with screens, by the info string of their blocks.
var screenPages = map[string][]string{
	"console":         {screensPage},
	"console cluster": {screensPage, "docs/guides/gates.md", "docs/guides/mirrors.md"},
}

// TestScreens_MatchOutput runs the commands that are shown with their output, with the files of the
// page and the tags of an official image.
func TestScreens_MatchOutput(t *testing.T) {
	dir, shown := workspace(t), 0
	p := pageAt(t, screensPage)
	(&fixture{t: t, dir: dir, placeholders: strings.NewReplacer()}).writeFiles(p, "")
	text := strings.Join(p.lines, "\n")
	for _, b := range p.blocks() {
		if b.info != "console" {
			continue
		}
		shown++
		command, want, _ := strings.Cut(b.text, "\n")
		got := runCommand(t, dir, strings.TrimPrefix(command, "$ "))
		text = strings.Replace(text, "```console\n"+b.text+"```", "```console\n"+command+"\n"+got+"```", 1)
		if diff := cmp.Diff(want, got); diff != "" && !*updateScreens {
			t.Errorf("%s:%d differs from the output (-page +output), to accept it: go test ./internal/test/docs -run Screens -args -update-screens\n%s",
				p.path, b.line, diff)
		}
	}
	NewWithT(t).Expect(shown).NotTo(BeZero(), "%s shows no output", screensPage)
	if *updateScreens {
		write(t, filepath.Join(root(t), p.path), text)
	}
}

// workspace returns a directory with the programs and the tags.
func workspace(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"image-reflector-controller", "kubectl-imagepolicy", "flux-imagepolicy"} {
		NewWithT(t).Expect(os.Symlink(controllerFromEnv(t), filepath.Join(dir, name))).To(Succeed())
	}
	tags := regexp.MustCompile(`(?m)\t.*$`).ReplaceAllString(content(t, "internal/selection/testdata/tags/node.tsv"), "")
	write(t, filepath.Join(dir, "tags.txt"), tags)
	return dir
}

// runCommand runs a command line and returns its output.
func runCommand(t *testing.T, dir, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", command)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil { // some commands of the page fail intentionally
		t.Fatal(err)
	}
	return string(out)
}

func write(t *testing.T, file, content string) {
	t.Helper()
	NewWithT(t).Expect(os.WriteFile(file, []byte(content), 0o600)).To(Succeed())
}
