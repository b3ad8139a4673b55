// SPDX-License-Identifier: Apache-2.0

package doctest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// inline is a command within a line of prose.
var inline = regexp.MustCompile("`((?:kubectl|kustomize|explain|image-reflector-controller|flux-imagepolicy) [^`]+)`")

// inProse is what is put in place of what a reader fills in.
var inProse = strings.NewReplacer("NAME", "podinfo", "TAG", "5.2.1", "--top N", "--top 3")

// named are commands that the prose names, and nobody types as they stand.
var named = map[string]string{
	"kubectl apply":                         "what is applied comes with it",
	"kubectl apply --dry-run=server":        "what is applied comes with it",
	"kubectl wait":                          "what is waited for comes with it: TestKubectlWaits of internal/e2e",
	"kubectl create secret docker-registry": "typed in full on docs/guides/registries.md",
	"kubectl imagepolicy explain":           "typed in full on the same page",
	"flux-imagepolicy explain":              "typed in full on the same page",
	"image-reflector-controller explain":    "typed in full on the same page",
}

// inlineCommands are those of the prose of a page.
func (p page) inlineCommands() []command {
	var found []command
	if strings.HasPrefix(p.path, "docs/design/") || p.path == "CHANGELOG.md" {
		return nil // they tell of what was, and of what was not chosen
	}
	for i, line := range p.prose() {
		for _, m := range inline.FindAllStringSubmatch(line, -1) {
			found = append(found, command{page: p.path, line: i + 1, text: m[1]})
		}
	}
	return found
}

// typeInline types the commands of the prose, each once. The plugin is there
// since docs/guides/explain.md.
func typeInline(w *world) {
	w.t.Helper()
	w.push("org/app:20.0.0")
	w.kubectl("create", "namespace", "payments")
	w.must(os.MkdirAll(w.path(inlineFiles), 0o700))
	typed, met := map[string]bool{}, map[string]bool{}
	for _, p := range pages(w.t) {
		w.shown(p, inlineFiles)
		for _, c := range p.inlineCommands() {
			if met[c.text] = true; named[c.text] == "" && !typed[c.text] {
				typed[c.text] = true
				c.typeOnce(w)
			}
		}
	}
	for text := range named {
		if !met[text] {
			w.t.Errorf("no page names %q", text)
		}
	}
	if len(typed) == 0 {
		w.t.Error("no command of the prose was typed")
	}
}

func (c command) typeOnce(w *world) {
	w.t.Helper()
	shell := openTerminal(w.t, filepath.Join(w.dir, inlineFiles), w.env)
	text := inProse.Replace(c.text)
	if strings.HasPrefix(text, "explain ") {
		text = "image-reflector-controller " + text
	}
	if printed, err := shell.run(w.standsFor.Replace(text)); err != nil {
		w.t.Errorf("%s:%d: %s: %v\n%s", c.page, c.line, c.text, err, printed)
	}
	w.must(shell.close())
}

// inlineFiles is where the files are that the pages show.
const inlineFiles = "prose"

// TestInline shows what counts as a command of the prose.
func TestInline(t *testing.T) {
	for line, want := range map[string]string{
		"as `kubectl get pods -A` shows":  "kubectl get pods -A",
		"`explain NAME --all` lists":      "explain NAME --all",
		"the command `kubectl` and `run`": "",
	} {
		got := ""
		if m := inline.FindStringSubmatch(line); m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("of %q it is %q, want %q", line, got, want)
		}
	}
}
