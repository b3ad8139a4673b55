// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// shell is the info string of blocks with commands that readers type.
const shell = "sh"

// infos are the first words of info strings, with what tests such blocks.
var infos = map[string]string{
	shell:     "TestGuides_CommandsWork",
	"yaml":    "TestExamples_AreAccepted",
	"console": "TestScreens_MatchOutput, and internal/test/e2e for those of a cluster",
	"message": "the tests of the code that returns it",
	"promql":  "the names in it by TestNames, and the queries by hack/monitoring",
	"mermaid": "nothing: a picture",
	"text":    "nothing: neither typed nor printed as it is",
}

var programs = regexp.MustCompile(
	`(?m)^\$? *(make|kubectl|flux|kustomize|git|go|docker|curl|helm|(\S*/)?(quickstart|image-reflector-controller|kubectl-imagepolicy|flux-imagepolicy)) `)

// TestBlocks_DeclareLanguage keeps commands from hiding in blocks that no test
// looks at.
func TestBlocks_DeclareLanguage(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks() {
			info, _, _ := strings.Cut(b.info, " ")
			NewWithT(t).Expect(infos[info]).NotTo(BeEmpty(), "%s:%d is a block of the kind '%s': begin it with ```%s, or another one of %v", p.path, b.line, b.info, shell, infos)
			if info == "console" && p.path != screensPage {
				t.Errorf("%s:%d shows what a command prints, which is tested on %s only", p.path, b.line, screensPage)
			}
			if info != shell && info != "console" && programs.MatchString(b.text) {
				t.Errorf("%s:%d looks like a command: begin it with ```%s", p.path, b.line, shell)
			}
		}
	}
}

// command is what a reader types at once.
type command struct {
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
				found = append(found, command{line: b.line + 1 + i, text: line})
			}
			open = strings.HasSuffix(line, `\`)
		}
	}
	return found
}

// inline is a command within a line of prose.
var inline = regexp.MustCompile("`((?:kubectl|kustomize|explain|image-reflector-controller|flux-imagepolicy) [^`]+)`")

// inlineCommands are those of the prose of a page.
func (p page) inlineCommands() []command {
	if strings.HasPrefix(p.path, "docs/design/") || p.path == "CHANGELOG.md" {
		return nil // design records also describe what was replaced or not chosen
	}
	var found []command
	for i, line := range p.prose() {
		for _, m := range inline.FindAllStringSubmatch(line, -1) {
			found = append(found, command{line: i + 1, text: m[1]})
		}
	}
	return found
}
