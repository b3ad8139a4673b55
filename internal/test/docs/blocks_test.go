// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// shell is the info string of blocks with commands.
const shell = "sh"

// blockTests maps the first word of an info string to the test of such blocks.
var blockTests = map[string]string{
	shell:     "TestGuides_CommandsWork",
	"yaml":    "TestExamples_AreAccepted",
	"console": "TestScreens_MatchOutput, and internal/test/e2e for those of a cluster",
	"message": "the tests of the code that returns it",
	"toml":    "TestMirrors_FilesAreValid",
	"promql":  "the names in it by TestNames, and the queries by hack/monitoring",
	"mermaid": "not tested: a diagram",
	"text":    "not tested: neither a command nor an output",
}

var programs = regexp.MustCompile(
	`(?m)^\$? *(make|kubectl|flux|kustomize|git|go|docker|curl|helm|(\S*/)?(quickstart|image-reflector-controller|kubectl-imagepolicy|flux-imagepolicy)) `)

// TestBlocks_DeclareLanguage checks that commands are in blocks that are tested.
func TestBlocks_DeclareLanguage(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			info, _, _ := strings.Cut(b.info, " ")
			NewWithT(t).Expect(blockTests[info]).NotTo(BeEmpty(), "%s:%d is a block with the info string '%s': begin it with ```%s, or another one of %v", p.path, b.line, b.info, shell, blockTests)
			if tested := screenPages[b.info]; info == "console" && !slices.Contains(tested, p.path) {
				t.Errorf("%s:%d shows the output of a command, which is tested on %v only", p.path, b.line, tested)
			}
			if info != shell && info != "console" && programs.MatchString(b.text) {
				t.Errorf("%s:%d looks like a command: begin it with ```%s", p.path, b.line, shell)
			}
		}
	}
}

// command is one command, which may continue on several lines.
type command struct {
	line int
	text string
}

var comment = regexp.MustCompile(`\s+#\s.*`)

// oneLine returns the command in one line, without its comment.
func (c command) oneLine() string {
	text := comment.ReplaceAllString(strings.ReplaceAll(c.text, "\\\n", " "), "")
	return strings.Join(strings.Fields(text), " ")
}

// commands returns the commands of the shell blocks of a page.
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
				found = append(found, command{line: b.line + 1 + i, text: line})
			}
			open = strings.HasSuffix(line, `\`)
		}
	}
	return found
}

// inline matches a command in prose.
var inline = regexp.MustCompile("`((?:kubectl|kustomize|explain|image-reflector-controller|flux-imagepolicy) [^`]+)`")

// inlineCommands returns the commands in the prose of a page.
func (p page) inlineCommands() []command {
	if strings.HasPrefix(p.path, "docs/design/") || p.path == "CHANGELOG.md" {
		return nil // design records also describe replaced and rejected designs
	}
	var found []command
	for i, line := range p.prose() {
		for _, m := range inline.FindAllStringSubmatch(line, -1) {
			found = append(found, command{line: i + 1, text: m[1]})
		}
	}
	return found
}
