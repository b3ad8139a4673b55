// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shell is the info string of blocks with commands that readers type.
const shell = "sh"

// infos are the first words of info strings, with who tests such blocks.
var infos = map[string]string{
	shell:     "TestGuides",
	"yaml":    "TestExamples",
	"console": "TestScreens, and internal/e2e for those of a cluster",
	"message": "TestMessages",
	"promql":  "TestMetrics, and the queries by hack/monitoring",
	"mermaid": "nobody: a picture",
	"text":    "nobody: neither typed nor printed as it is",
}

// TestEveryBlockSaysWhatItIs keeps commands from hiding in blocks that no test
// looks at.
func TestEveryBlockSaysWhatItIs(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			info, _, _ := strings.Cut(b.info, " ")
			if infos[info] == "" {
				t.Errorf("%s:%d is a block of the kind '%s': begin it with ```%s, or another one of %v", p.path, b.line, b.info, shell, infos)
			}
			if info == "console" && p.path != screensPage {
				t.Errorf("%s:%d shows what a command prints, which is tested on %s only", p.path, b.line, screensPage)
			}
			if info != shell && info != "console" && looksLikeCommand(b.text) {
				t.Errorf("%s:%d looks like a command: begin it with ```%s", p.path, b.line, shell)
			}
		}
	}
}

// TestNoBlockByIndent has every block between fences, which say what it is.
func TestNoBlockByIndent(t *testing.T) {
	for _, p := range pages(t) {
		before := ""
		for i, line := range p.prose() {
			if before == "" && strings.HasPrefix(line, "    ") && p.path != generatedPage && !inList(p, i) {
				t.Errorf("%s:%d is a block by its indent: put it between ```", p.path, i+1)
			}
			before = line
		}
	}
}

// generatedPage is not written by hand.
const generatedPage = "docs/api/v1/image-reflector.md"

// inList reports whether the line before the blank one is part of a list.
func inList(p page, i int) bool {
	for i--; i >= 0 && (p.lines[i] == "" || strings.HasPrefix(p.lines[i], " ")); i-- {
	}
	return i >= 0 && regexp.MustCompile(`^(-|\*|[0-9]+\.) `).MatchString(p.lines[i])
}

var programs = regexp.MustCompile(`(?m)^\$? *(make|kubectl|flux|kustomize|git|go|docker|curl|helm|(\S*/)?(quickstart|image-reflector-controller|kubectl-imagepolicy|flux-imagepolicy)) `)

func looksLikeCommand(text string) bool { return programs.MatchString(text) }

// target is a target of make in a line of prose.
var target = regexp.MustCompile("`make ([a-z-]+)[^`]*`")

// TestTargetsExist looks for the targets of make that the prose names.
func TestTargetsExist(t *testing.T) {
	targets := targetsOfMake(t)
	for _, p := range pages(t) {
		for i, line := range p.prose() {
			for _, m := range target.FindAllStringSubmatch(line, -1) {
				if !slices.Contains(targets, m[1]) {
					t.Errorf("%s:%d names `make %s`, and there is no such target", p.path, i+1, m[1])
				}
			}
		}
	}
}

// command is what a reader types at once.
type command struct {
	page string
	line int
	text string
}

var comment = regexp.MustCompile(`\s+#\s.*`)

// bare is the command in one line, without its comment.
func (c command) bare() string {
	text := comment.ReplaceAllString(strings.ReplaceAll(c.text, "\\\n", " "), "")
	return strings.Join(strings.Fields(text), " ")
}

// commands returns those of the shell blocks of a page.
func (p page) commands() []command {
	var found []command
	for _, b := range p.blocks() {
		if b.info != shell {
			continue
		}
		open := false
		for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
			switch {
			case open:
				found[len(found)-1].text += "\n" + line
			case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#"):
				continue
			default:
				found = append(found, command{page: p.path, line: b.line + 1 + i, text: line})
			}
			open = strings.HasSuffix(line, `\`)
		}
	}
	return found
}

// TestCommands shows what commands are made of.
func TestCommands(t *testing.T) {
	p := page{path: "a.md", lines: strings.Split("# Title\n```sh\nmake  a B=1   # why\n\n# a remark\nkubectl get \\\n  pods # all\n```\n```text\nmake c\n```\n```sh\nexport D='#e'\n```", "\n")}
	var got []string
	for _, c := range p.commands() {
		got = append(got, c.bare())
	}
	if want := []string{"make a B=1", "kubectl get pods", "export D='#e'"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if line := p.commands()[1].line; line != 6 {
		t.Errorf("the second command is in line %d, want 6", line)
	}
}

var rule = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)

// targetsOfMake are those of the Makefile and what it includes.
func targetsOfMake(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root(t), "hack/make/*.mk"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range append(files, filepath.Join(root(t), "Makefile")) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range rule.FindAllStringSubmatch(string(content), -1) {
			found = append(found, m[1])
		}
	}
	return found
}
